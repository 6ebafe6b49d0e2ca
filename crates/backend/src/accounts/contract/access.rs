use super::super::{Ended, NewKey, Refusal, Rotated, Rotation, Which};
use super::{Fixture, add, entry, hash, person, session_id, sign_in, user};
use chat4all_model::api::Scope;
use futures_util::future::join_all;
use std::sync::Arc;

fn rotation(spent: u64, now: u64) -> Rotation {
    Rotation { spent: hash(spent), next: hash(spent + 100), now, grace_ms: 30, expires_at: now + 1000 }
}

pub(super) async fn a_refresh_token_is_spent_once(fixture: Arc<dyn Fixture>) {
    let accounts = fixture.open().await;
    let user_id = add(&*accounts, 1, "alice").await;
    let session_id = sign_in(&*accounts, &user_id, 1).await;
    let successor =
        |spent_at| Rotated::Successor { session_id: session_id.clone(), user_id: user_id.clone(), spent_at };
    assert_eq!(accounts.rotate(rotation(1, 50)).await.expect("an answer"), successor(50));
    assert_eq!(accounts.rotate(rotation(1, 80)).await.expect("within the grace"), successor(50));
    assert_eq!(accounts.rotate(rotation(101, 90)).await.expect("the successor is good"), successor(90));
    assert_eq!(accounts.rotate(rotation(7, 90)).await.expect("unknown"), Rotated::Gone);
    assert_eq!(accounts.rotate(rotation(201, 1090)).await.expect("expired"), Rotated::Gone);
    assert!(accounts.ended_since(0, None, 9).await.expect("a feed").is_empty());
}

pub(super) async fn many_at_once_get_one_successor(fixture: Arc<dyn Fixture>) {
    let accounts = fixture.open().await;
    let user_id = add(&*accounts, 1, "alice").await;
    let session_id = sign_in(&*accounts, &user_id, 1).await;
    let answers = join_all((50..70).map(|now| accounts.rotate(rotation(1, now)))).await;
    let mut times = Vec::new();
    for answer in answers {
        match answer.expect("an answer") {
            Rotated::Successor { session_id: of, spent_at, .. } if of == session_id => times.push(spent_at),
            other => unreachable!("within the grace there is one successor, not {other:?}"),
        }
    }
    times.dedup();
    assert_eq!(times.len(), 1, "spent at one time, whoever asked: {times:?}");
}

pub(super) async fn a_token_used_long_after_its_spending_ends_the_session(fixture: Arc<dyn Fixture>) {
    let accounts = fixture.open().await;
    let user_id = add(&*accounts, 1, "alice").await;
    let stolen = sign_in(&*accounts, &user_id, 1).await;
    let other = sign_in(&*accounts, &user_id, 2).await;
    accounts.rotate(rotation(1, 50)).await.expect("spent");

    let reused = Rotated::Reused { session_id: stolen.clone(), user_id: user_id.clone() };
    assert_eq!(accounts.rotate(rotation(1, 81)).await.expect("an answer"), reused);
    assert_eq!(accounts.rotate(rotation(101, 82)).await.expect("its successor"), Rotated::Gone);
    assert_eq!(accounts.rotate(rotation(1, 83)).await.expect("once more"), Rotated::Gone);
    let ended = accounts.ended_since(0, None, 9).await.expect("a feed");
    assert_eq!(ended, [Ended { session_id: stolen, user_id: user_id.clone(), ended_at: 81 }]);
    let living = accounts.rotate(rotation(2, 84)).await.expect("an answer");
    assert_eq!(living, Rotated::Successor { session_id: other, user_id, spent_at: 84 });
}

pub(super) async fn sessions_end_one_by_one_and_together(fixture: Arc<dyn Fixture>) {
    let accounts = fixture.open().await;
    let alice = add(&*accounts, 1, "alice").await;
    let bob = add(&*accounts, 2, "bob").await;
    let one = sign_in(&*accounts, &alice, 1).await;
    let two = sign_in(&*accounts, &alice, 2).await;
    let three = sign_in(&*accounts, &alice, 3).await;
    sign_in(&*accounts, &bob, 4).await;

    let not_his = accounts.end_sessions(&bob, Which::One(one.clone()), 10).await.expect("an answer");
    assert!(not_his.is_empty(), "nobody ends another's session");
    assert_eq!(
        accounts.end_sessions(&alice, Which::One(one.clone()), 10).await.expect("ended"),
        std::slice::from_ref(&one)
    );
    assert!(accounts.end_sessions(&alice, Which::One(one), 11).await.expect("again").is_empty());
    let mut rest = accounts.end_sessions(&alice, Which::All, 12).await.expect("ended");
    rest.sort();
    assert_eq!(rest, [two, three]);
    for n in 1..=3 {
        assert_eq!(accounts.rotate(rotation(n, 20)).await.expect("an answer"), Rotated::Gone);
    }
    assert_ne!(accounts.rotate(rotation(4, 20)).await.expect("bob's lives"), Rotated::Gone);
}

pub(super) async fn the_feed_of_ended_sessions_is_complete(fixture: Arc<dyn Fixture>) {
    let accounts = fixture.open().await;
    let alice = add(&*accounts, 1, "alice").await;
    for n in 1..=5 {
        sign_in(&*accounts, &alice, n).await;
    }
    for (n, now) in [(2, 10), (1, 20), (3, 20), (5, 20), (4, 30)] {
        accounts.end_sessions(&alice, Which::One(session_id(n)), now).await.expect("ended");
    }
    let mut seen = Vec::new();
    let (mut since, mut after) = (20, None);
    loop {
        let page = accounts.ended_since(since, after.as_ref(), 2).await.expect("a page");
        let Some(last) = page.last() else { break };
        (since, after) = (last.ended_at, Some(last.session_id.clone()));
        seen.extend(page.into_iter().map(|e| e.session_id));
    }
    assert_eq!(seen, [1, 3, 5, 4].map(session_id));
}

pub(super) async fn a_new_password_ends_the_other_sessions(fixture: Arc<dyn Fixture>) {
    let accounts = fixture.open().await;
    let alice = add(&*accounts, 1, "alice").await;
    let mine = sign_in(&*accounts, &alice, 1).await;
    let other = sign_in(&*accounts, &alice, 2).await;
    let audit = entry(1, "user.password.set");
    let ended = accounts.set_password(&alice, "new", Some(&mine), 10, audit.clone()).await.expect("set");
    assert_eq!(ended, [other]);
    let login = super::super::Login::Id(alice.clone());
    let found = accounts.credentials(&login).await.expect("an answer").expect("an account");
    assert_eq!(found.password_hash.as_deref(), Some("new"));
    assert_ne!(accounts.rotate(rotation(1, 20)).await.expect("kept"), Rotated::Gone);
    assert_eq!(accounts.rotate(rotation(2, 20)).await.expect("ended"), Rotated::Gone);
    let nobody = accounts.set_password(&user(9), "new", None, 10, entry(2, "x")).await.expect("an answer");
    assert!(nobody.is_empty());
    assert_eq!(accounts.audit_log(None, 9).await.expect("the log"), [audit]);
}

pub(super) async fn permissions_taken_away_end_the_sessions(fixture: Arc<dyn Fixture>) {
    let accounts = fixture.open().await;
    let alice = add(&*accounts, 1, "alice").await;
    let session = sign_in(&*accounts, &alice, 1).await;
    let admin = ["admin".to_owned()];
    let given = accounts.set_permissions(&alice, &admin, 10, entry(1, "grant")).await.expect("given");
    assert!(given.is_empty(), "what is added comes with the next token");
    assert_eq!(accounts.get(std::slice::from_ref(&alice)).await.expect("found")[0].permissions, admin);
    accounts.set_permissions(&alice, &admin, 11, entry(2, "grant")).await.expect("nothing to do");
    let taken = accounts.set_permissions(&alice, &[], 12, entry(3, "revoke")).await.expect("taken");
    assert_eq!(taken, [session]);
    let log = accounts.audit_log(None, 9).await.expect("the log");
    assert_eq!(log, [entry(3, "revoke"), entry(1, "grant")], "what changes nothing leaves no entry");
}

pub(super) async fn a_bot_lives_until_it_is_revoked(fixture: Arc<dyn Fixture>) {
    let accounts = fixture.open().await;
    let alice = add(&*accounts, 1, "alice").await;
    let mut new = person(2, "helper");
    new.password_hash = None;
    new.account.owner = Some(alice.clone());
    let key = |n| NewKey { session_id: session_id(n), hash: hash(n), scopes: vec![Scope::Read] };
    accounts.create_bot(new.clone(), key(1), 5, entry(1, "bot.create")).await.expect("made");
    new.account.user_id = user(3);
    let error = accounts.create_bot(new, key(2), 5, entry(2, "bot.create")).await.expect_err("the same name");
    assert_eq!(Refusal::of(&error), Some(Refusal::UsernameTaken));

    let found = accounts.bot_of_key(&hash(1)).await.expect("an answer").expect("the bot");
    assert_eq!((found.account.user_id.clone(), found.account.owner.as_ref()), (user(2), Some(&alice)));
    assert_eq!((&found.session_id, found.scopes.as_slice()), (&session_id(1), [Scope::Read].as_slice()));
    assert_eq!(accounts.bots(&alice).await.expect("a list"), [found]);
    assert!(accounts.bot_of_key(&hash(2)).await.expect("an answer").is_none());

    let audit = || entry(3, "bot.revoke");
    let stranger = accounts.revoke_bot(&user(9), &user(2), 10, audit()).await.expect("an answer");
    assert_eq!(stranger, None);
    let revoked = accounts.revoke_bot(&alice, &user(2), 10, audit()).await.expect("revoked");
    assert_eq!(revoked, Some(session_id(1)));
    assert_eq!(accounts.revoke_bot(&alice, &user(2), 11, audit()).await.expect("again"), None);
    assert!(accounts.bot_of_key(&hash(1)).await.expect("an answer").is_none());
    assert!(accounts.bots(&alice).await.expect("a list").is_empty());
    assert_eq!(accounts.ended_since(0, None, 9).await.expect("a feed")[0].session_id, session_id(1));
    assert_eq!(accounts.get(&[user(2)]).await.expect("its messages keep an author").len(), 1);
    let log = accounts.audit_log(None, 9).await.expect("the log");
    assert_eq!(log.iter().map(|e| e.action.as_str()).collect::<Vec<_>>(), ["bot.revoke", "bot.create"]);
}

pub(super) async fn an_owner_has_a_limit_of_bots(fixture: Arc<dyn Fixture>) {
    let accounts = fixture.open().await;
    let alice = add(&*accounts, 1, "alice").await;
    let make = |n: u64| {
        let mut new = person(n, &format!("bot{n}"));
        new.account.owner = Some(alice.clone());
        let key = NewKey { session_id: session_id(n), hash: hash(n), scopes: Vec::new() };
        accounts.create_bot(new, key, 2, entry(n, "bot.create"))
    };
    make(2).await.expect("the first");
    make(3).await.expect("the second");
    assert_eq!(Refusal::of(&make(4).await.expect_err("one too many")), Some(Refusal::TooMany));
    accounts.revoke_bot(&alice, &user(2), 10, entry(10, "bot.revoke")).await.expect("revoked");
    make(5).await.expect("only living ones count");
}

pub(super) async fn what_is_over_is_swept(fixture: Arc<dyn Fixture>) {
    let accounts = fixture.open().await;
    let alice = add(&*accounts, 1, "alice").await;
    for n in 1..=3 {
        sign_in(&*accounts, &alice, n).await;
    }
    accounts.end_sessions(&alice, Which::One(session_id(1)), 10).await.expect("ended");
    accounts.end_sessions(&alice, Which::One(session_id(2)), 900).await.expect("ended");
    accounts.rotate(rotation(3, 20)).await.expect("its token now expires at 1020");

    assert!(accounts.sweep(500, 100).await.expect("swept") > 0);
    let ended = accounts.ended_since(0, None, 9).await.expect("a feed");
    assert_eq!(ended.iter().map(|e| &e.session_id).collect::<Vec<_>>(), [&session_id(2)]);
    assert_ne!(accounts.rotate(rotation(103, 600)).await.expect("the living one lives"), Rotated::Gone);
    assert_eq!(accounts.sweep(500, 100).await.expect("nothing more"), 0);
}
