use super::super::{Login, ProfileChange, Refusal};
use super::{Fixture, add, entry, hash, person, user};
use crate::ErrorKind;
use chat4all_model::api::{LastSeenTo, QuietHours};
use futures_util::future::join_all;
use std::sync::Arc;

pub(super) async fn names_are_unique_without_case(fixture: Arc<dyn Fixture>) {
    let accounts = fixture.open().await;
    let mut alice = person(1, "alice");
    alice.account.email = Some("Alice@example.org".into());
    accounts.create(alice).await.expect("the first");

    let error = accounts.create(person(2, "ALICE")).await.expect_err("the same name");
    assert_eq!((error.kind, Refusal::of(&error)), (ErrorKind::Conflict, Some(Refusal::UsernameTaken)));
    let mut bob = person(3, "bob");
    bob.account.email = Some("aLICE@Example.org".into());
    let error = accounts.create(bob.clone()).await.expect_err("the same address");
    assert_eq!((error.kind, Refusal::of(&error)), (ErrorKind::Conflict, Some(Refusal::EmailTaken)));

    bob.account.email = None;
    accounts.create(bob).await.expect("a refused account leaves nothing behind");
    add(&*accounts, 4, "carol").await;
}

pub(super) async fn of_many_at_once_one_gets_the_name(fixture: Arc<dyn Fixture>) {
    let accounts = fixture.open().await;
    let tries = join_all((0..20).map(|n| accounts.create(person(n, "alice")))).await;
    assert_eq!(tries.iter().filter(|t| t.is_ok()).count(), 1);
    for error in tries.into_iter().filter_map(Result::err) {
        assert_eq!(Refusal::of(&error), Some(Refusal::UsernameTaken), "{error}");
    }
    assert_eq!(accounts.list(None, 50).await.expect("a list").len(), 1);
}

pub(super) async fn accounts_are_found_by_id_and_by_login(fixture: Arc<dyn Fixture>) {
    let accounts = fixture.open().await;
    let mut alice = person(1, "alice");
    alice.account.email = Some("a@example.org".into());
    alice.account.permissions = vec!["admin".into()];
    alice.account.quiet_hours = Some(QuietHours { from_minute: 1320, to_minute: 420 });
    accounts.create(alice.clone()).await.expect("made");
    add(&*accounts, 2, "bob").await;

    let found = accounts.get(&[user(2), user(9), user(1)]).await.expect("found");
    assert_eq!(found.iter().map(|a| a.username.as_str()).collect::<Vec<_>>(), ["bob", "alice"]);
    assert_eq!(found[1], alice.account);
    let too_many: Vec<_> = (0..501).map(user).collect();
    assert_eq!(accounts.get(&too_many).await.expect_err("over the limit").kind, ErrorKind::Invalid);

    for login in [Login::Username("Alice".into()), Login::Email("A@EXAMPLE.org".into()), Login::Id(user(1))] {
        let found = accounts.credentials(&login).await.expect("an answer").expect("an account");
        assert_eq!(found.account, alice.account);
        assert_eq!(found.password_hash.as_deref(), Some("hash of alice"));
    }
    for login in [Login::Username("a@example.org".into()), Login::Email("alice".into()), Login::Id(user(9))] {
        assert!(accounts.credentials(&login).await.expect("an answer").is_none(), "{login:?}");
    }
}

pub(super) async fn people_are_found_by_the_start_of_a_name(fixture: Arc<dyn Fixture>) {
    let accounts = fixture.open().await;
    for (n, username, shown) in [
        (1, "zoe", "Ana  Maria Silva"),
        (2, "silvester", "Bob"),
        (3, "carol", "Élodie Éclair"),
        (4, "mariana", ""),
        (5, "percent%_", "x"),
    ] {
        let mut new = person(n, username);
        new.account.display_name = Some(shown.into()).filter(|s: &String| !s.is_empty());
        accounts.create(new).await.expect("made");
    }
    for (prefix, usernames) in [
        ("si", vec!["silvester", "zoe"]),
        ("MARIA", vec!["mariana", "zoe"]),
        ("ana ma", vec!["zoe"]),
        ("éC", vec!["carol"]),
        ("ilva", vec![]),
        ("%", vec![]),
        ("percent%", vec!["percent%_"]),
    ] {
        let found = accounts.search(prefix, None, 50).await.expect("an answer");
        assert_eq!(found.iter().map(|a| a.username.as_str()).collect::<Vec<_>>(), usernames, "{prefix}");
    }
    let first = accounts.search("si", None, 1).await.expect("a page");
    let second = accounts.search("si", Some(&first[0].username), 1).await.expect("a page");
    assert_eq!((first[0].username.as_str(), second[0].username.as_str()), ("silvester", "zoe"));
    assert!(accounts.search("si", Some("zoe"), 1).await.expect("the end").is_empty());
}

pub(super) async fn a_profile_changes_field_by_field(fixture: Arc<dyn Fixture>) {
    let accounts = fixture.open().await;
    let alice = add(&*accounts, 1, "alice").await;
    let mut bob = person(2, "bob");
    bob.account.email = Some("bob@example.org".into());
    accounts.create(bob).await.expect("made");

    let change = ProfileChange {
        display_name: Some(Some("Alice Liddell".into())),
        email: Some(Some("alice@example.org".into())),
        last_seen_to: Some(LastSeenTo::Nobody),
        quiet_hours: Some(Some(QuietHours { from_minute: 0, to_minute: 60 })),
        ..ProfileChange::default()
    };
    let changed = accounts.update(&alice, change).await.expect("changed").expect("an account");
    assert_eq!(changed.display_name.as_deref(), Some("Alice Liddell"));
    assert_eq!(
        accounts.get(std::slice::from_ref(&alice)).await.expect("found"),
        std::slice::from_ref(&changed)
    );
    assert_eq!(accounts.search("lid", None, 9).await.expect("found").len(), 1);

    let taken = ProfileChange { email: Some(Some("BOB@example.org".into())), ..ProfileChange::default() };
    let error = accounts.update(&alice, taken).await.expect_err("bob's");
    assert_eq!(Refusal::of(&error), Some(Refusal::EmailTaken));
    let own = ProfileChange { email: Some(Some("ALICE@example.org".into())), ..ProfileChange::default() };
    accounts.update(&alice, own).await.expect("one's own address is not taken");

    let clear =
        ProfileChange { display_name: Some(None), quiet_hours: Some(None), ..ProfileChange::default() };
    let cleared = accounts.update(&alice, clear).await.expect("changed").expect("an account");
    assert_eq!((cleared.display_name, cleared.quiet_hours), (None, None));
    assert_eq!(
        (cleared.email.as_deref(), cleared.last_seen_to),
        (Some("ALICE@example.org"), LastSeenTo::Nobody)
    );
    assert!(accounts.search("lid", None, 9).await.expect("an answer").is_empty());
    assert_eq!(accounts.search("al", None, 9).await.expect("the username stays").len(), 1);
    assert!(accounts.update(&user(9), ProfileChange::default()).await.expect("an answer").is_none());
}

pub(super) async fn accounts_are_listed_in_pages(fixture: Arc<dyn Fixture>) {
    let accounts = fixture.open().await;
    for n in 1..=5 {
        add(&*accounts, n, &format!("user{n}")).await;
    }
    let first = accounts.list(None, 3).await.expect("a page");
    assert_eq!(first.iter().map(|a| a.user_id.clone()).collect::<Vec<_>>(), [user(1), user(2), user(3)]);
    let second = accounts.list(Some(&user(3)), 3).await.expect("a page");
    assert_eq!(second.iter().map(|a| a.user_id.clone()).collect::<Vec<_>>(), [user(4), user(5)]);
}

pub(super) async fn an_invite_admits_one(fixture: Arc<dyn Fixture>) {
    let accounts = fixture.open().await;
    accounts.invite(&hash(1), 100, entry(1, "invite.create")).await.expect("made");
    accounts.invite(&hash(2), 10, entry(2, "invite.create")).await.expect("made");
    let with = |n, invite| {
        let mut new = person(n, &format!("user{n}"));
        new.invite = Some(hash(invite));
        accounts.create(new)
    };
    with(50, 1).await.expect("admitted");
    for (n, invite) in [(51, 1), (52, 2), (53, 3)] {
        let error = with(n, invite).await.expect_err("spent, expired, unknown");
        assert_eq!(Refusal::of(&error), Some(Refusal::InviteSpent));
    }
    assert_eq!(accounts.list(None, 9).await.expect("a list").len(), 1);
}

pub(super) async fn the_audit_log_reads_backwards(fixture: Arc<dyn Fixture>) {
    let accounts = fixture.open().await;
    for n in [1, 3, 2] {
        accounts.append_audit(entry(n, "test")).await.expect("appended");
    }
    let newest = accounts.audit_log(None, 2).await.expect("a page");
    assert_eq!(newest, [entry(3, "test"), entry(2, "test")]);
    assert_eq!(accounts.audit_log(Some(&newest[1].entry_id), 2).await.expect("a page"), [entry(1, "test")]);
}

pub(super) async fn what_was_answered_survives(fixture: Arc<dyn Fixture>) {
    let accounts = fixture.open().await;
    add(&*accounts, 1, "alice").await;
    drop(accounts);
    let accounts = fixture.open().await;
    assert_eq!(accounts.get(&[user(1)]).await.expect("found"), [person(1, "alice").account]);
    let error = accounts.create(person(2, "alice")).await.expect_err("still taken");
    assert_eq!(Refusal::of(&error), Some(Refusal::UsernameTaken));
}
