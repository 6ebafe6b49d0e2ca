use crate::world::{World, code, done, failure, to, to_person};
use chat4all_model::api::{Code, SendMessage, Status};
use chat4all_server::chat::{Changed, Paging, Waited, Window};

#[tokio::test]
async fn a_message_to_a_person_is_there_for_both() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let text = "שלום 👩‍👩‍👧 漢字 e\u{301}";
    let data = serde_json::json!({"color": "red"}).as_object().cloned();
    let message = SendMessage { client_id: Some("c1".into()), data: data.clone(), ..to_person(&bob, text) };
    let sent = world.stored(&alice, message).await;
    assert_eq!((sent.content.as_deref(), sent.data.clone()), (Some(text), data));
    assert_eq!((sent.seq, sent.status, sent.client_id.as_deref()), (2, Some(Status::Sent), Some("c1")));
    assert_eq!(sent.recipient_id.as_deref(), Some(bob.user_id.as_str()));

    let seen = world.chat.message(&bob, None, &sent.message_id).await.unwrap();
    assert_eq!(seen.client_id, None);
    assert_eq!((&seen.content, &seen.sender_id), (&sent.content, &alice.user_id.to_string()));
    assert_eq!(world.texts(&bob, &sent.conversation_id).await, [text]);
    let reply = SendMessage { reply_to: Some(sent.message_id.clone()), ..to_person(&alice, "hi") };
    let reply = world.stored(&bob, reply).await;
    assert_eq!((reply.conversation_id, reply.reply_to), (sent.conversation_id, Some(sent.message_id)));
    world.stop().await;
}

#[tokio::test]
async fn a_key_gives_one_message_and_refuses_other_content() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let send = |text: &str| to_person(&bob, text);
    let first = world.chat.send(&alice, send("once"), Some("k")).await.unwrap();
    let again = world.chat.send(&alice, send("once"), Some("k")).await.unwrap();
    assert_eq!(first.accepted, again.accepted);
    let patience = crate::world::PATIENCE;
    let waited = world.chat.send_and_wait(&alice, send("once"), Some("k"), patience).await.unwrap();
    let Waited::Stored(stored, _) = waited else { panic!("{waited:?}") };
    assert_eq!(stored.message_id, first.accepted.message_id);
    assert_eq!(code(world.chat.send(&alice, send("twice"), Some("k")).await), Code::IdempotencyKeyReused);
    // Another's key is another key.
    let other = world.chat.send(&bob, to_person(&alice, "once"), Some("k")).await.unwrap();
    assert_ne!(other.accepted.message_id, first.accepted.message_id);
    // Settle the last one, which nobody waited for.
    world.say(&bob, &stored.conversation_id, "end").await;
    assert_eq!(world.texts(&alice, &stored.conversation_id).await, ["end", "once", "once"]);
    world.stop().await;
}

#[tokio::test]
async fn of_two_contents_under_one_key_at_once_one_is_refused() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let conversation = world.stored(&alice, to_person(&bob, "first")).await.conversation_id;
    for round in 0..10 {
        let key = format!("k{round}");
        let send = |text: &str| {
            let message = to(&conversation, text);
            world.chat.send_and_wait(&alice, message, Some(&key), crate::world::PATIENCE)
        };
        let (one, two) = tokio::join!(send("one"), send("two"));
        let outcomes = [one, two].map(|outcome| outcome.map(drop).map_err(|failure| failure.code));
        assert!(outcomes.contains(&Ok(())), "{outcomes:?}");
        assert!(outcomes.contains(&Err(Code::IdempotencyKeyReused)), "{outcomes:?}");
    }
    assert_eq!(world.texts(&bob, &conversation).await.len(), 11);
    world.stop().await;
}

#[tokio::test]
async fn runs_of_one_connection_keep_their_order_without_waiting() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let mut runs = Vec::new();
    for run in 0..20 {
        let keyed = |n: usize| (to_person(&bob, &format!("{run}-{n}")), Some(format!("{run}-{n}")));
        let mut messages: Vec<_> = (0..5).map(keyed).collect();
        messages.push((to_person(&alice, "to myself"), None));
        runs.push(world.chat.begin(&alice, messages).await);
    }
    let mut conversation = String::new();
    for run in runs {
        let answers = run.finish().await;
        assert_eq!(answers.len(), 6);
        assert_eq!(answers[5].as_ref().unwrap_err().errors[0].field, "recipient_id");
        conversation = answers[0].as_ref().unwrap().accepted.conversation_id.clone();
    }
    world.say(&alice, &conversation, "end").await;
    let mut texts = world.texts(&bob, &conversation).await;
    texts.reverse();
    let expected: Vec<String> = (0..20).flat_map(|run| (0..5).map(move |n| format!("{run}-{n}"))).collect();
    assert_eq!(texts[..100], expected);
    world.stop().await;
}

#[tokio::test]
async fn an_edit_by_id_alone_follows_its_send_at_once() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    for round in 0..10 {
        let sent = world.send(&alice, to_person(&bob, "v1")).await.unwrap().accepted;
        let edited = format!("v2 {round}");
        done(world.chat.edit(&alice, None, &sent.message_id, &edited, None).await);
        let seen = world.chat.message(&bob, Some(&sent.conversation_id), &sent.message_id).await.unwrap();
        assert_eq!(seen.content.as_deref(), Some(edited.as_str()));
        assert!(seen.edited_at.is_some());
    }
    world.stop().await;
}

#[tokio::test]
async fn messages_change_as_their_rules_say() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let message = world.stored(&alice, to_person(&bob, "v1")).await;
    let (chat, id, within) =
        (&world.chat, message.message_id.as_str(), Some(message.conversation_id.as_str()));

    assert_eq!(code(chat.edit(&bob, within, id, "mine", None).await), Code::Forbidden);
    assert_eq!(code(chat.delete(&bob, None, id, None).await), Code::Forbidden);
    assert_eq!(failure(chat.edit(&alice, within, id, " ", None).await).errors[0].field, "content");
    done(chat.edit(&alice, within, id, "v2", Some("edit-1")).await);
    assert!(matches!(chat.edit(&alice, within, id, "v2", Some("edit-1")).await.unwrap(), Changed::Same(_)));
    assert_eq!(code(chat.edit(&alice, within, id, "v3", Some("edit-1")).await), Code::IdempotencyKeyReused);
    assert!(matches!(chat.edit(&alice, None, id, "v2", None).await.unwrap(), Changed::Same(_)));
    done(chat.edit(&alice, None, id, "v3", None).await);
    let edits = chat.edits(&bob, within, id).await.unwrap().items;
    assert_eq!(edits.iter().map(|edit| edit.content.as_deref().unwrap()).collect::<Vec<_>>(), ["v1", "v2"]);

    done(chat.react(&bob, within, id, "👍", None).await);
    assert!(matches!(chat.react(&bob, within, id, "👍", None).await.unwrap(), Changed::Same(_)));
    done(chat.react(&alice, within, id, "👍", None).await);
    done(chat.react(&alice, within, id, "🎉", None).await);
    done(chat.unreact(&alice, within, id, "👍", None).await);
    let seen = chat.message(&alice, None, id).await.unwrap();
    let counts: Vec<_> = seen.reactions.iter().map(|r| (r.emoji.as_str(), r.count, r.mine)).collect();
    assert_eq!(counts, [("👍", 1, false), ("🎉", 1, true)]);
    let first = Paging { limit: Some(1), cursor: None };
    let page = chat.reactions(&bob, None, id, &first).await.unwrap();
    assert_eq!((page.items.len(), page.items[0].emoji.as_str()), (1, "👍"));
    let rest = chat.reactions(&bob, None, id, &Paging { cursor: page.next, limit: Some(1) }).await.unwrap();
    assert_eq!((rest.items[0].emoji.as_str(), rest.next), ("🎉", None));

    done(chat.delete(&alice, within, id, None).await);
    assert!(matches!(chat.delete(&alice, within, id, None).await.unwrap(), Changed::Same(_)));
    let gone = chat.message(&bob, None, id).await.unwrap();
    assert_eq!((gone.content, gone.seq), (None, message.seq));
    assert!(gone.deleted_at.is_some() && gone.reactions.is_empty());
    assert!(chat.edits(&bob, None, id).await.unwrap().items.is_empty());
    assert_eq!(code(chat.edit(&alice, None, id, "v4", None).await), Code::NotFound);
    world.stop().await;
}

#[tokio::test]
async fn history_is_paged_both_ways_and_around() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let run = (0..19).map(|n| (to_person(&bob, &n.to_string()), None)).collect();
    let answers = world.chat.begin(&alice, run).await.finish().await;
    let conversation = answers[0].as_ref().unwrap().accepted.conversation_id.clone();
    world.say(&alice, &conversation, "19").await;
    // The creation is seq 1, so text n is seq n + 2.
    let m = world.chat.member(&bob, &conversation).await.unwrap();
    let page = async |window, limit| world.chat.history(&m, window, Some(limit)).await.unwrap();
    let texts = |page: &chat4all_model::api::MessagePage| {
        page.messages.iter().map(|m| m.content.clone().unwrap()).collect::<Vec<_>>()
    };
    let newest = page(Window::Before(None), 3).await;
    assert_eq!(texts(&newest), ["19", "18", "17"]);
    assert_eq!((newest.first_seq, newest.last_seq, newest.head_seq), (Some(19), Some(21), 21));
    assert_eq!((newest.has_before, newest.has_after), (true, false));
    let before = page(Window::Before(Some(4)), 3).await;
    assert_eq!(
        (texts(&before), before.has_before, before.has_after),
        (vec!["1".into(), "0".into()], false, true)
    );
    let after = page(Window::After(19), 5).await;
    assert_eq!(
        (texts(&after), after.has_before, after.has_after),
        (vec!["18".into(), "19".into()], true, false)
    );
    let around = page(Window::Around(10), 4).await;
    assert_eq!(texts(&around), ["10", "9", "8", "7"]);
    assert!(around.has_before && around.has_after);
    assert_eq!(code(world.chat.history(&m, Window::Before(None), Some(201)).await), Code::InvalidRequest);

    let events = world.chat.events(&m, 0, Some(20)).await.unwrap();
    let seqs: Vec<u64> = events.items.iter().map(|event| event.at().unwrap().seq).collect();
    assert_eq!(seqs, (1..=20).collect::<Vec<_>>());
    assert_eq!(events.next.as_deref(), Some("20"));
    assert_eq!(world.chat.events(&m, 20, None).await.unwrap().items.len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused() {
    let world = World::new().await;
    let (alice, bob, carol) =
        (world.person("alice").await, world.person("bob").await, world.person("carol").await);
    let send = async |message| world.send(&alice, message).await;
    let conversation = world.stored(&alice, to_person(&bob, "x")).await.conversation_id;
    let base = || to(&conversation, "x");
    let nobody =
        SendMessage { recipient_id: Some("nobody".into()), content: Some("x".into()), ..Default::default() };
    assert_eq!(code(send(nobody).await), Code::NotFound);
    assert_eq!(code(send(to("g:unknown", "x")).await), Code::NotFound);
    let both = SendMessage { recipient_id: Some(carol.user_id.to_string()), ..base() };
    assert_eq!(failure(send(both).await).errors[0].field, "recipient_id");
    let agree = SendMessage { recipient_id: Some(bob.user_id.to_string()), ..base() };
    assert!(send(agree).await.is_ok());
    let mention = SendMessage { mentions: Some(vec![carol.user_id.to_string()]), ..base() };
    assert_eq!(failure(send(mention).await).errors[0].field, "mentions");
    let mention = SendMessage { mentions: Some(vec![bob.user_id.to_string(), "all".into()]), ..base() };
    assert!(send(mention).await.is_ok());
    let file = SendMessage { file_ids: Some(vec!["f1".into()]), ..base() };
    assert_eq!(code(send(file).await), Code::NotFound);
    let seen = SendMessage { seen: Some(1_000), ..base() };
    assert_eq!(failure(send(seen).await).errors[0].field, "seen");
    let forged = SendMessage { sender_id: Some(bob.user_id.to_string()), ..base() };
    assert_eq!(failure(send(forged).await).errors[0].field, "sender_id");
    // Somebody else's conversation of two, by its id.
    let theirs = world.stored(&bob, to_person(&carol, "private")).await;
    assert_eq!(code(send(to(&theirs.conversation_id, "x")).await), Code::NotFound);
    let reply = SendMessage { reply_to: Some(theirs.message_id), ..base() };
    let patience = crate::world::PATIENCE;
    assert_eq!(code(world.chat.send_and_wait(&alice, reply, None, patience).await), Code::NotFound);
    world.stop().await;
}

#[tokio::test]
async fn an_address_of_another_platform_has_a_conversation_of_its_own() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let address = "whatsapp:+5511999999999";
    let send =
        SendMessage {
            recipient_id: Some(address.into()), content: Some("olá".into()), ..Default::default()
        };
    let sent = world.stored(&alice, send).await;
    assert_eq!((sent.recipient_id.as_deref(), sent.status), (Some(address), Some(Status::Sent)));
    assert_eq!(sent.conversation_id, format!("c:{}:{address}", alice.user_id));
    world.stop().await;
}
