use crate::world::{World, code, direct, done, failure, to_person};
use chat4all_model::api::{Code, Conversation, History, SendMessage, SettingsPatch, Status};
use chat4all_model::command::Marker;
use chat4all_server::account::Caller;
use chat4all_server::chat::{Changed, Filter, Paging};
use chat4all_server::error::Result;

/// A marker move is a register and has no id, so its outcome does not tell whether it rose.
fn decided(changed: Result<Changed>) {
    assert!(matches!(changed.unwrap(), Changed::Same(_)));
}

async fn inbox(world: &World, caller: &Caller, filter: Filter) -> Vec<Conversation> {
    let (mut all, mut paging) = (Vec::new(), Paging { cursor: None, limit: Some(2) });
    loop {
        let page = world.chat.inbox(caller, filter, &paging).await.unwrap();
        assert!(page.items.len() <= 2);
        all.extend(page.items);
        match page.next {
            Some(next) => paging.cursor = Some(next),
            None => return all,
        }
    }
}

#[tokio::test]
async fn markers_say_what_is_unread_and_what_has_arrived() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let chat = &world.chat;
    let first = world.stored(&alice, to_person(&bob, "one")).await;
    let id = first.conversation_id.as_str();
    let mention = SendMessage { mentions: Some(vec![bob.user_id.to_string()]), ..to_person(&bob, "two") };
    let second = world.stored(&alice, mention).await;
    let unread = chat.unread(&bob).await.unwrap();
    assert_eq!((unread.conversations, unread.messages, unread.mentions), (1, 2, 1));
    assert_eq!(chat.unread(&alice).await.unwrap().messages, 0);

    decided(chat.mark(&bob, id, Marker::Delivered, second.seq).await);
    let seen = chat.message(&alice, None, &second.message_id).await.unwrap();
    assert_eq!((seen.status, seen.read_at), (Some(Status::Delivered), None));
    decided(chat.mark_message(&bob, None, &first.message_id, Marker::Read).await);
    let seen = chat.message(&alice, None, &first.message_id).await.unwrap();
    assert_eq!(seen.status, Some(Status::Read));
    assert!(seen.read_at.is_some() && seen.delivered_at.is_some());
    assert_eq!(chat.unread(&bob).await.unwrap().messages, 1);

    // Never back, never beyond the end.
    decided(chat.mark(&bob, id, Marker::Read, second.seq).await);
    assert!(matches!(chat.mark(&bob, id, Marker::Read, first.seq).await.unwrap(), Changed::Same(_)));
    assert_eq!(failure(chat.mark(&bob, id, Marker::Read, 99).await).errors[0].field, "seq");
    let m = chat.member(&alice, id).await.unwrap();
    let markers = chat.markers(&m).await.unwrap().items;
    let of_bob = markers.iter().find(|markers| markers.user_id == bob.user_id.as_str()).unwrap();
    assert_eq!((markers.len(), of_bob.read_seq, of_bob.delivered_seq), (2, second.seq, second.seq));
    let receipts = chat.receipts(&alice, None, &second.message_id, &Paging::default()).await.unwrap().items;
    assert_eq!((receipts.len(), receipts[0].user_id.as_str()), (1, bob.user_id.as_str()));
    assert!(receipts[0].read_at.is_some());

    // A send that says what was seen reads for its sender.
    let third = world.stored(&alice, to_person(&bob, "three")).await;
    let reply = SendMessage { seen: Some(third.seq), ..to_person(&alice, "yes") };
    let reply = world.stored(&bob, reply).await;
    let m = chat.member(&bob, id).await.unwrap();
    let own = chat.conversation(&m).await.unwrap();
    assert_eq!((own.unread_count, own.read_seq), (0, reply.seq));
    world.stop().await;
}

#[tokio::test]
async fn the_inbox_is_by_newest_activity_and_filters() {
    let world = World::new().await;
    let me = world.person("myself").await;
    let mut ids = Vec::new();
    for name in ["ann", "ben", "cat", "dan", "eve"] {
        let other = world.person(name).await;
        ids.push(world.stored(&other, to_person(&me, name)).await.conversation_id);
    }
    ids.reverse();
    let all = inbox(&world, &me, Filter::default()).await;
    let mut activity: Vec<_> = all.iter().map(|c| (c.last_activity, c.conversation_id.clone())).collect();
    let mut found: Vec<_> = all.iter().map(|c| c.conversation_id.clone()).collect();
    assert!(activity.is_sorted_by(|a, b| a > b));
    activity.dedup();
    found.sort();
    let mut expected = ids.clone();
    expected.sort();
    assert_eq!(found, expected);
    assert!(all.iter().all(|c| c.last_message.as_ref().unwrap().content.is_some() && c.unread_count == 1));

    let archive = SettingsPatch { archived: Some(true), muted_until: Some(Some(5)), ..Default::default() };
    done(world.chat.settings(&me, &ids[0], archive.clone(), None).await);
    assert!(matches!(world.chat.settings(&me, &ids[0], archive, None).await.unwrap(), Changed::Same(_)));
    let archived = Filter { archived: Some(true), unread: None };
    let archived = inbox(&world, &me, archived).await;
    assert_eq!((archived.len(), archived[0].muted_until), (1, Some(5)));
    assert_eq!(inbox(&world, &me, Filter::default()).await.len(), 4);
    decided(world.chat.mark(&me, &ids[1], Marker::Read, 2).await);
    assert_eq!(inbox(&world, &me, Filter { archived: Some(false), unread: Some(true) }).await.len(), 3);
    assert_eq!(world.chat.unread(&me).await.unwrap().messages, 3);
    let (mut all, mut paging) = (Vec::new(), Paging { cursor: None, limit: Some(2) });
    loop {
        let page = world.chat.snapshot(&me, &paging).await.unwrap();
        all.extend(page.items.into_iter().map(|c| c.conversation_id));
        // What becomes active meanwhile does not slip through.
        world.say(&me, &ids[4], "again").await;
        match page.next {
            Some(next) => paging.cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(all, expected);
    let bad = Paging { cursor: Some("?".into()), limit: None };
    assert_eq!(code(world.chat.inbox(&me, Filter::default(), &bad).await), Code::InvalidRequest);
    world.stop().await;
}

#[tokio::test]
async fn participants_are_paged_by_joining() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let mut others = Vec::new();
    for n in 0..5 {
        others.push(world.person(&format!("user{n}")).await);
    }
    let members: Vec<&Caller> = others.iter().collect();
    let id = world.group(&alice, &members, History::Joined).await;
    let m = world.chat.member(&alice, &id).await.unwrap();
    let (mut names, mut paging) = (Vec::new(), Paging { cursor: None, limit: Some(4) });
    loop {
        let page = world.chat.participants(&m, &paging).await.unwrap();
        names.extend(page.items.into_iter().map(|member| member.username.unwrap()));
        paging.cursor = page.next;
        if paging.cursor.is_none() {
            break;
        }
    }
    names.sort();
    assert_eq!(names, ["alice", "user0", "user1", "user2", "user3", "user4"]);
    world.chat.create(&alice, direct(&others[0]), None).await.unwrap();
    world.stop().await;
}
