use super::super::{
    Accounts, Credentials, Kept, Login, MAX_ENTRIES, NewKey, Refusal, Rotated, Rotation, Which,
};
use super::{Fixture, add, entry, hash, person, session_id, sign_in, user};
use crate::ErrorKind;
use chat4all_model::api::{QuietHours, Scope};
use std::sync::Arc;

/// What never expires is kept as this or more.
const NEVER: u64 = i64::MAX as u64;

pub(super) async fn all_that_is_kept_is_exported(fixture: Arc<dyn Fixture>) {
    let accounts = fixture.open().await;
    assert_eq!(export(&*accounts, 500).await, []);
    let alice = add(&*accounts, 1, "alice").await;
    accounts.invite(&hash(31), 900, entry(1, "invite.create")).await.expect("made");
    accounts.invite(&hash(32), 900, entry(2, "invite.create")).await.expect("made");
    let mut bob = person(2, "bob");
    bob.invite = Some(hash(31));
    accounts.create(bob).await.expect("made");
    sign_in(&*accounts, &alice, 1).await;
    sign_in(&*accounts, &user(2), 2).await;
    accounts.rotate(rotation(1, 60)).await.expect("spent");
    accounts.end_sessions(&user(2), Which::All, 70).await.expect("ended");
    let mut bot = person(3, "helper");
    (bot.password_hash, bot.account.owner) = (None, Some(alice.clone()));
    let key = NewKey { session_id: session_id(3), hash: hash(21), scopes: vec![Scope::Read] };
    accounts.create_bot(bot.clone(), key, 5, entry(3, "bot.create")).await.expect("made");

    let session = |n, expires_at, ended_at| Kept::Session {
        session_id: session_id(n),
        user_id: user(n),
        created_at: n,
        expires_at,
        ended_at,
    };
    let token = |n, session, expires_at, spent_at| Kept::Token {
        hash: hash(n),
        session_id: session_id(session),
        user_id: user(session),
        expires_at,
        spent_at,
    };
    let account = |new: super::NewAccount| {
        Kept::Account(Credentials { account: new.account, password_hash: new.password_hash })
    };
    let expected = sorted(vec![
        account(person(1, "alice")),
        account(person(2, "bob")),
        account(bot),
        session(1, 1060, None),
        session(2, 1_000_000, Some(70)),
        session(3, NEVER, None),
        Kept::Key { hash: hash(21), session_id: session_id(3), user_id: user(3), scopes: vec![Scope::Read] },
        token(1, 1, 1_000_000, Some(60)),
        token(101, 1, 1060, None),
        token(2, 2, 1_000_000, None),
        Kept::Invite { hash: hash(31), expires_at: 900, spent_by: Some(user(2)) },
        Kept::Invite { hash: hash(32), expires_at: 900, spent_by: None },
        Kept::Audit(entry(1, "invite.create")),
        Kept::Audit(entry(2, "invite.create")),
        Kept::Audit(entry(3, "bot.create")),
    ]);
    for limit in [1, 2, 500] {
        assert_eq!(sorted(export(&*accounts, limit).await), expected, "pages of {limit}");
    }
    let nowhere = accounts.export(Some("nonsense".into()), 9).await.expect_err("no place");
    assert_eq!(nowhere.kind, ErrorKind::Invalid);
}

pub(super) async fn what_is_imported_works(fixture: Arc<dyn Fixture>) {
    let accounts = fixture.open().await;
    let mut alice = person(1, "alice");
    alice.account.email = Some("Alice@example.org".into());
    alice.account.display_name = Some("Alice Liddell".into());
    alice.account.quiet_hours = Some(QuietHours { from_minute: 1320, to_minute: 420 });
    alice.account.permissions = vec!["admin".into()];
    let mut bot = person(2, "helper");
    (bot.password_hash, bot.account.owner) = (None, Some(user(1)));
    let account = |new: &super::NewAccount| {
        let (account, password_hash) = (new.account.clone(), new.password_hash.clone());
        Kept::Account(Credentials { account, password_hash })
    };
    let session = |n, whose, expires_at, ended_at| Kept::Session {
        session_id: session_id(n),
        user_id: user(whose),
        created_at: 10 + n,
        expires_at,
        ended_at,
    };
    let token = |n, session, spent_at| Kept::Token {
        hash: hash(n),
        session_id: session_id(session),
        user_id: user(1),
        expires_at: 1_000_000,
        spent_at,
    };
    let things = vec![
        account(&alice),
        account(&bot),
        session(1, 1, 1_000_000, None),
        session(2, 1, 1_000_000, Some(70)),
        session(3, 2, NEVER, None),
        session(4, 1, 1_000_000, None),
        Kept::Key {
            hash: hash(21),
            session_id: session_id(3),
            user_id: user(2),
            scopes: vec![Scope::Read, Scope::Write],
        },
        token(1, 1, None),
        token(2, 2, None),
        token(3, 4, Some(50)),
        token(4, 4, None),
        Kept::Invite { hash: hash(31), expires_at: 900, spent_by: None },
        Kept::Invite { hash: hash(32), expires_at: 900, spent_by: Some(user(1)) },
        Kept::Audit(entry(1, "user.admin.grant")),
    ];
    let expected = sorted(things.clone());
    // A page whose answer was lost comes again; at the end, all of it.
    for page in things.chunks(3) {
        for _ in 0..2 {
            accounts.import(page.to_vec()).await.expect("imported");
        }
    }
    accounts.import(things).await.expect("all of it again");
    assert_eq!(sorted(export(&*accounts, 4).await), expected);

    let login = Login::Email("alice@EXAMPLE.org".into());
    let found = accounts.credentials(&login).await.expect("an answer").expect("alice");
    assert_eq!((&found.account, &found.password_hash), (&alice.account, &alice.password_hash));
    assert_eq!(accounts.search("lid", None, 9).await.expect("found"), [alice.account]);
    for (taken, refusal) in [
        (person(9, "Alice"), Refusal::UsernameTaken),
        (
            {
                let mut other = person(9, "other");
                other.account.email = Some("ALICE@example.org".into());
                other
            },
            Refusal::EmailTaken,
        ),
    ] {
        assert_eq!(Refusal::of(&accounts.create(taken).await.expect_err("taken")), Some(refusal));
    }
    let living = Rotated::Successor { session_id: session_id(1), user_id: user(1), spent_at: 80 };
    assert_eq!(accounts.rotate(rotation(1, 80)).await.expect("an answer"), living);
    assert_eq!(accounts.rotate(rotation(2, 80)).await.expect("an answer"), Rotated::Gone, "it had ended");
    let ended = accounts.ended_since(0, None, 9).await.expect("a feed");
    assert_eq!(ended.iter().map(|e| (&e.session_id, e.ended_at)).collect::<Vec<_>>(), [(&session_id(2), 70)]);
    let again = accounts.rotate(rotation(3, 70)).await.expect("within the grace");
    assert_eq!(again, Rotated::Successor { session_id: session_id(4), user_id: user(1), spent_at: 50 });
    let reused = Rotated::Reused { session_id: session_id(4), user_id: user(1) };
    assert_eq!(accounts.rotate(rotation(3, 99)).await.expect("long after its spending"), reused);
    assert_eq!(accounts.rotate(rotation(4, 99)).await.expect("an answer"), Rotated::Gone);

    let found = accounts.bot_of_key(&hash(21)).await.expect("an answer").expect("the bot");
    assert_eq!((found.account, found.session_id), (bot.account, session_id(3)));
    assert_eq!(found.scopes, [Scope::Read, Scope::Write]);
    assert_eq!(accounts.bots(&user(1)).await.expect("a list").len(), 1);
    let audit = entry(4, "bot.revoke");
    let revoked = accounts.revoke_bot(&user(1), &user(2), 100, audit).await.expect("an answer");
    assert_eq!(revoked, Some(session_id(3)));
    for (n, invite, admitted) in [(50, 31, true), (51, 31, false), (52, 32, false)] {
        let mut new = person(n, &format!("user{n}"));
        new.invite = Some(hash(invite));
        assert_eq!(accounts.create(new).await.is_ok(), admitted, "invite {invite} for user {n}");
    }
    let log = accounts.audit_log(None, 9).await.expect("the log");
    assert_eq!(log, [entry(4, "bot.revoke"), entry(1, "user.admin.grant")]);
    let rest = accounts.sweep(2_000_000, 500).await.expect("swept");
    assert!(rest > 0, "what was imported is swept like all else");
}

pub(super) async fn a_name_that_is_anothers_is_not_imported(fixture: Arc<dyn Fixture>) {
    let accounts = fixture.open().await;
    let mut alice = person(1, "alice");
    alice.account.email = Some("alice@example.org".into());
    accounts.create(alice).await.expect("made");
    let import = |n, username: &str, email: Option<&str>| {
        let mut account = person(n, username).account;
        account.email = email.map(Into::into);
        accounts.import(vec![Kept::Account(Credentials { account, password_hash: None })])
    };
    let error = import(2, "alice", None).await.expect_err("taken");
    assert_eq!((error.kind, Refusal::of(&error)), (ErrorKind::Conflict, Some(Refusal::UsernameTaken)));
    let error = import(2, "bob", Some("Alice@Example.org")).await.expect_err("taken");
    assert_eq!((error.kind, Refusal::of(&error)), (ErrorKind::Conflict, Some(Refusal::EmailTaken)));
    import(2, "bob", Some("bob@example.org")).await.expect("a refused account leaves nothing behind");
    let too_many = vec![Kept::Audit(entry(1, "test")); MAX_ENTRIES + 1];
    assert_eq!(accounts.import(too_many).await.expect_err("over the limit").kind, ErrorKind::Invalid);
}

fn rotation(spent: u64, now: u64) -> Rotation {
    Rotation { spent: hash(spent), next: hash(spent + 100), now, grace_ms: 30, expires_at: now + 1000 }
}

/// All that is exported, what never expires made comparable.
async fn export(accounts: &dyn Accounts, limit: usize) -> Vec<Kept> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = accounts.export(after, limit).await.expect("a page");
        assert!(page.len() <= limit, "{} things instead of {limit}", page.len());
        for mut kept in page {
            if let Kept::Session { expires_at, .. } = &mut kept {
                *expires_at = NEVER.min(*expires_at);
            }
            if let Some(before) = all.last() {
                assert!(order(before) <= order(&kept), "{kept:?} after {before:?}");
            }
            all.push(kept);
        }
        after = next;
        if after.is_none() {
            return all;
        }
    }
}

/// What others belong to comes first.
fn order(kept: &Kept) -> u8 {
    match kept {
        Kept::Account(_) => 0,
        Kept::Session { .. } => 1,
        _ => 2,
    }
}

fn sorted(mut kept: Vec<Kept>) -> Vec<Kept> {
    kept.sort_by_cached_key(|kept| format!("{kept:?}"));
    kept
}
