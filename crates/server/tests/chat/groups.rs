use crate::world::{World, code, direct, done, failure, group, to};
use chat4all_model::api::{
    AddParticipants, Code, ConversationPatch, CreateConversation, History, Role, RolePatch, SendMessage,
};
use chat4all_server::account::Caller;
use chat4all_server::chat::{Changed, Created, Paging};

fn adding(users: &[&Caller]) -> AddParticipants {
    AddParticipants { user_ids: users.iter().map(|user| user.user_id.to_string()).collect(), role: None }
}

fn name(name: &str) -> ConversationPatch {
    ConversationPatch { name: name.into() }
}

#[tokio::test]
async fn making_the_same_conversation_again_gives_the_same() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let chat = &world.chat;
    let first = chat.create(&alice, direct(&bob), None).await.unwrap();
    let Created::New(first, Some(_)) = first else { panic!("{first:?}") };
    let again = chat.create(&bob, direct(&alice), None).await.unwrap();
    let Created::Present(again) = again else { panic!("{again:?}") };
    assert_eq!(first.conversation_id, again.conversation_id);
    let mut names: Vec<_> = again.participants.into_iter().filter_map(|member| member.username).collect();
    names.sort();
    assert_eq!(names, ["alice", "bob"]);

    let chosen = || CreateConversation { conversation_id: Some("team".into()), ..group(&[&bob]) };
    let made = chat.create(&alice, chosen(), None).await.unwrap();
    let Created::New(made, _) = made else { panic!("{made:?}") };
    assert_eq!(made.conversation_id, format!("g:{}:team", alice.user_id));
    assert!(matches!(chat.create(&alice, chosen(), None).await.unwrap(), Created::Present(_)));
    let other = CreateConversation { name: Some("foes".into()), ..chosen() };
    assert_eq!(code(chat.create(&alice, other, None).await), Code::Conflict);
    // The same name of somebody else is another group.
    assert!(matches!(chat.create(&bob, chosen(), None).await.unwrap(), Created::New(..)));

    let keyed = chat.create(&alice, group(&[&bob]), Some("k")).await.unwrap();
    let Created::New(keyed, _) = keyed else { panic!("{keyed:?}") };
    let retried = chat.create(&alice, group(&[&bob]), Some("k")).await.unwrap();
    let Created::Present(retried) = retried else { panic!("{retried:?}") };
    assert_eq!(keyed.conversation_id, retried.conversation_id);
    let other = CreateConversation { name: Some("foes".into()), ..group(&[&bob]) };
    assert_eq!(code(chat.create(&alice, other, Some("k")).await), Code::IdempotencyKeyReused);
    world.stop().await;
}

#[tokio::test]
async fn what_cannot_be_made_is_refused() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let field =
        async |request| failure(world.chat.create(&alice, request, None).await).errors[0].field.clone();
    assert_eq!(field(direct(&alice)).await, "participant_ids");
    assert_eq!(field(CreateConversation { name: Some("x".into()), ..direct(&bob) }).await, "name");
    let nobody = CreateConversation { participant_ids: vec!["nobody".into()], ..group(&[]) };
    assert_eq!(field(nobody).await, "participant_ids");
    assert_eq!(field(CreateConversation { name: Some(" ".into()), ..group(&[&bob]) }).await, "name");
    let bad = CreateConversation { conversation_id: Some("a:b".into()), ..group(&[&bob]) };
    assert_eq!(field(bad).await, "conversation_id");
    let many = CreateConversation { participant_ids: vec!["x".into(); 501], ..group(&[]) };
    assert_eq!(field(many).await, "participant_ids");
    world.stop().await;
}

#[tokio::test]
async fn everybody_sees_exactly_their_time() {
    let world = World::new().await;
    let (alice, bob, carol) =
        (world.person("alice").await, world.person("bob").await, world.person("carol").await);
    let chat = &world.chat;
    let id = world.group(&alice, &[&bob], History::Joined).await;
    let early = world.say(&alice, &id, "early").await;
    done(chat.add(&alice, &id, adding(&[&carol]), None).await);
    assert!(matches!(chat.add(&alice, &id, adding(&[&carol]), None).await.unwrap(), Changed::Same(_)));
    let late = world.say(&alice, &id, "late").await;
    done(chat.react(&carol, None, &late.message_id, "👍", None).await);
    assert_eq!(world.texts(&carol, &id).await, ["late"]);
    assert_eq!(world.texts(&bob, &id).await, ["late", "early"]);
    assert_eq!(code(chat.message(&carol, None, &early.message_id).await), Code::NotFound);
    assert_eq!(code(chat.react(&carol, None, &early.message_id, "👍", None).await), Code::NotFound);

    done(chat.edit(&alice, None, &late.message_id, "late, edited", None).await);
    done(chat.remove(&alice, &id, bob.user_id.as_str(), None).await);
    done(chat.edit(&alice, None, &late.message_id, "after bob", None).await);
    done(chat.react(&alice, None, &late.message_id, "🎉", None).await);
    done(chat.rename(&alice, &id, name("without bob"), None).await);
    world.say(&alice, &id, "secret").await;

    assert_eq!(world.texts(&bob, &id).await, ["late, edited", "early"]);
    let seen = chat.message(&bob, None, &late.message_id).await.unwrap();
    assert_eq!(seen.reactions.iter().map(|r| r.emoji.as_str()).collect::<Vec<_>>(), ["👍"]);
    let m = chat.member(&bob, &id).await.unwrap();
    let kept = chat.conversation(&m).await.unwrap();
    let left = kept.left_seq.unwrap();
    assert_eq!((kept.name.as_deref(), kept.last_seq), (Some("friends"), left));
    assert_eq!(kept.last_message.unwrap().content.as_deref(), Some("late, edited"));
    assert_eq!((kept.participant_count, kept.participants.len()), (2, 3));
    assert_eq!(kept.unread_count, 2);
    let events = chat.events(&m, 0, None).await.unwrap().items;
    assert_eq!(events.last().unwrap().at().unwrap().seq, left);
    assert_eq!(chat.participants(&m, &Paging::default()).await.unwrap().items.len(), 3);
    assert_eq!(chat.markers(&m).await.unwrap().items.len(), 1);
    assert_eq!(code(chat.message(&bob, Some("g:else"), &late.message_id).await), Code::NotFound);

    // Back again: the time between stays hidden.
    done(chat.add(&alice, &id, adding(&[&bob]), None).await);
    world.say(&alice, &id, "hello again").await;
    assert_eq!(world.texts(&bob, &id).await, ["hello again", "late, edited", "early"]);
    let m = chat.member(&bob, &id).await.unwrap();
    let now = chat.conversation(&m).await.unwrap();
    assert_eq!((now.left_seq, now.unread_count, now.name.as_deref()), (None, 1, Some("without bob")));
    world.stop().await;
}

#[tokio::test]
async fn a_group_with_all_its_history_shows_it_to_newcomers() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let id = world.group(&alice, &[], History::All).await;
    world.say(&alice, &id, "before").await;
    done(world.chat.add(&alice, &id, adding(&[&bob]), None).await);
    assert_eq!(world.texts(&bob, &id).await, ["before"]);
    let m = world.chat.member(&bob, &id).await.unwrap();
    assert_eq!(world.chat.conversation(&m).await.unwrap().first_seq, 1);
    world.stop().await;
}

#[tokio::test]
async fn leaving_hands_the_group_to_the_longest_standing() {
    let world = World::new().await;
    let (alice, bob, carol) =
        (world.person("alice").await, world.person("bob").await, world.person("carol").await);
    let chat = &world.chat;
    let id = world.group(&alice, &[&bob], History::Joined).await;
    done(chat.add(&alice, &id, adding(&[&carol]), None).await);
    let role = RolePatch { role: Role::Member };
    assert_eq!(code(chat.set_role(&alice, &id, alice.user_id.as_str(), role, None).await), Code::Conflict);
    assert_eq!(code(chat.rename(&bob, &id, name("mine"), None).await), Code::Forbidden);
    done(chat.remove(&alice, &id, alice.user_id.as_str(), None).await);
    assert!(matches!(
        chat.remove(&alice, &id, alice.user_id.as_str(), None).await.unwrap(),
        Changed::Same(_)
    ));
    done(chat.rename(&bob, &id, name("mine"), None).await);
    let role = RolePatch { role: Role::Admin };
    done(chat.set_role(&bob, &id, carol.user_id.as_str(), role, None).await);
    done(chat.remove(&bob, &id, bob.user_id.as_str(), None).await);
    done(chat.remove(&carol, &id, carol.user_id.as_str(), None).await);
    assert_eq!(code(chat.add(&carol, &id, adding(&[&alice]), None).await), Code::Forbidden);

    let two = chat.create(&alice, direct(&bob), None).await.unwrap();
    let Created::New(two, _) = two else { panic!("{two:?}") };
    let two = two.conversation_id;
    assert_eq!(code(chat.remove(&alice, &two, alice.user_id.as_str(), None).await), Code::Conflict);
    assert_eq!(code(chat.add(&alice, &two, adding(&[&carol]), None).await), Code::Conflict);
    assert_eq!(code(chat.rename(&alice, &two, name("x"), None).await), Code::Conflict);
    world.stop().await;
}

#[tokio::test]
async fn a_refusal_decided_later_is_told_to_who_waits() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let id = world.group(&alice, &[&bob], History::Joined).await;
    let answering = SendMessage { reply_to: Some("AAAAAAAAAAAAAAAAAAAAAA".into()), ..to(&id, "to nothing") };
    let patience = crate::world::PATIENCE;
    assert_eq!(code(world.chat.send_and_wait(&bob, answering, None, patience).await), Code::NotFound);
    world.stop().await;
}
