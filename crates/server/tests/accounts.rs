//! Signing up and in, as people, thieves and scripts do it, over the embedded engines and a clock that tests move.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chat4all_backend::accounts::{Accounts, EmbeddedAccounts};
use chat4all_backend::bus::{Bus, EmbeddedBus};
use chat4all_model::api::{
    BotRequest, Code, LoginRequest, LogoutRequest, PasswordRequest, ProfilePatch, RefreshRequest,
    RegisterRequest, Scope, Tokens,
};
use chat4all_server::account::{
    AccountService, AccountSettings, Actor, Ambient, AuthLimits, CallerKind, PasswordCost, Registration, Rule,
};
use chat4all_server::error::Result;
use chat4all_server::secret::Secret;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const AWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const PASSWORD: &str = "correct horse";

/// An installation whose processes share engines and secret.
struct World {
    _folder: TempDir,
    accounts: Arc<dyn Accounts>,
    bus: Arc<dyn Bus>,
    now: Arc<AtomicU64>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            accounts: Arc::new(EmbeddedAccounts::open(folder.path()).unwrap()),
            bus: Arc::new(EmbeddedBus::new()),
            now: Arc::new(AtomicU64::new(1_800_000_000_000)),
            _folder: folder,
        }
    }

    async fn process_with(&self, bus: Arc<dyn Bus>, settings: AccountSettings) -> Arc<AccountService> {
        let now = Arc::clone(&self.now);
        let ambient = Ambient::new(
            Arc::new(move || now.load(Ordering::SeqCst)),
            Arc::new(|buffer| rand::RngCore::fill_bytes(&mut rand::rng(), buffer)),
        );
        let secret = Secret::new(&"s".repeat(32)).unwrap();
        AccountService::open(Arc::clone(&self.accounts), bus, &secret, ambient, settings).await.unwrap()
    }

    async fn process(&self) -> Arc<AccountService> {
        self.process_with(Arc::clone(&self.bus), settings()).await
    }

    fn pass(&self, seconds: u64) {
        self.now.fetch_add(seconds * 1000, Ordering::SeqCst);
    }
}

fn settings() -> AccountSettings {
    AccountSettings {
        limits: AuthLimits::OFF,
        password: PasswordCost { memory_kib: 64, passes: 1, at_once: 2, waiting: 64 },
        ..AccountSettings::default()
    }
}

fn sign_up(username: &str) -> RegisterRequest {
    RegisterRequest { username: username.into(), password: PASSWORD.into(), ..RegisterRequest::default() }
}

fn name_and(username: &str, password: &str) -> LoginRequest {
    LoginRequest { username: Some(username.into()), email: None, password: password.into() }
}

async fn register(service: &AccountService, username: &str) -> Tokens {
    service.register(sign_up(username), HOME).await.unwrap().value
}

async fn refresh(service: &AccountService, token: &str) -> Result<Tokens> {
    service.refresh(RefreshRequest { refresh_token: token.into() }, HOME).await.map(|l| l.value)
}

fn code<T>(outcome: Result<T>) -> Code {
    outcome.err().map(|failure| failure.code).unwrap()
}

/// Waits until a bearer is refused by `service`, or fails after 5 seconds.
async fn refused(service: &AccountService, bearer: &str) {
    tokio::time::timeout(Duration::from_secs(5), async {
        while service.authenticate(bearer).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("within 5 seconds");
}

#[tokio::test]
async fn whoever_signs_up_is_signed_in_and_known_everywhere() {
    let world = World::new();
    let (here, there) = (world.process().await, world.process().await);
    let request = RegisterRequest { email: Some("alice@example.org".into()), ..sign_up("Alice") };
    let tokens = here.register(request, HOME).await.unwrap().value;
    assert_eq!((tokens.token_type.as_str(), tokens.expires_in), ("Bearer", 3600));
    let caller = there.authenticate(&tokens.access_token).await.unwrap();
    assert_eq!((caller.user_id.as_str(), &*caller.username), (tokens.user.user_id.as_str(), "alice"));
    assert_eq!((caller.kind, caller.is_admin()), (CallerKind::Person, false));
    assert_eq!(there.me(&caller).await.unwrap(), tokens.user);
    assert_eq!(there.validate(&caller).expires_at, 1_800_003_600_000);

    let payload = tokens.access_token.split('.').nth(1).unwrap();
    let claims: serde_json::Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    let mut names: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["email", "exp", "iat", "permissions", "sid", "sub", "username"]);
    for login in ["alice", "ALICE", "Alice@Example.org"] {
        assert_eq!(there.login(name_and(login, PASSWORD), HOME).await.unwrap().value.user, tokens.user);
    }
}

#[tokio::test]
async fn names_are_taken_without_case_and_faults_are_told_together() {
    let world = World::new();
    let service = world.process().await;
    register(&service, "alice").await;
    assert_eq!(code(service.register(sign_up("aLiCe"), HOME).await), Code::UsernameTaken);
    assert_eq!(code(service.register(sign_up("\u{430}lice"), HOME).await), Code::InvalidRequest);
    let wrong = RegisterRequest {
        username: "x".into(),
        password: "short".into(),
        email: Some("nowhere".into()),
        display_name: Some("a\0".into()),
        invite: None,
    };
    let failure = service.register(wrong, HOME).await.unwrap_err();
    let fields: Vec<_> = failure.errors.iter().map(|e| e.field.as_str()).collect();
    assert_eq!(fields, ["username", "password", "email", "display_name"]);
}

#[tokio::test]
async fn a_wrong_name_and_a_wrong_password_look_the_same() {
    let world = World::new();
    let service = world.process().await;
    register(&service, "alice").await;
    let mut answers = Vec::new();
    for (name, password) in
        [("alice", "wrong horse"), ("nobody", PASSWORD), ("alice", "x"), ("no\0body", PASSWORD)]
    {
        let failure = service.login(name_and(name, password), HOME).await.unwrap_err();
        answers.push((failure.code, failure.detail));
    }
    assert_eq!(answers[0].0, Code::InvalidCredentials);
    assert!(answers.iter().all(|a| *a == answers[0]), "{answers:?}");
}

#[tokio::test]
async fn a_retry_of_a_refresh_within_the_grace_gives_the_same_tokens() {
    let world = World::new();
    let (here, there) = (world.process().await, world.process().await);
    let first = register(&here, "alice").await;
    world.pass(10);
    let second = refresh(&here, &first.refresh_token).await.unwrap();
    assert_ne!(second.refresh_token, first.refresh_token);
    world.pass(30);
    let again = refresh(&there, &first.refresh_token).await.unwrap();
    assert_eq!(again.refresh_token, second.refresh_token, "from another process too");
    assert_eq!(again.access_token, second.access_token);
    assert_eq!(again.expires_in, 3570);
    assert!(there.authenticate(&again.access_token).await.is_ok());
    assert!(refresh(&here, &second.refresh_token).await.is_ok());
}

#[tokio::test]
async fn a_spent_token_that_comes_back_ends_the_session() {
    let world = World::new();
    let service = world.process().await;
    let first = register(&service, "alice").await;
    let second = refresh(&service, &first.refresh_token).await.unwrap();
    let mut ended = service.watch().subscribe();
    world.pass(31);
    assert_eq!(code(refresh(&service, &first.refresh_token).await), Code::RefreshReused);
    assert_eq!(ended.try_recv().unwrap().user_id.as_str(), first.user.user_id);
    assert_eq!(code(service.authenticate(&second.access_token).await), Code::Unauthenticated);
    assert_eq!(code(refresh(&service, &second.refresh_token).await), Code::Unauthenticated);
    let log = service.audit_log(Actor::Operator, None, None).await.unwrap();
    assert_eq!(log.items[0].action, "session.refresh_reused");
    assert!(service.login(name_and("alice", PASSWORD), HOME).await.is_ok(), "the owner may sign in again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tabs_that_refresh_at_once_get_the_same() {
    let world = World::new();
    let (here, there) = (world.process().await, world.process().await);
    let mut token = register(&here, "alice").await.refresh_token;
    for _ in 0..20 {
        let (a, b) = tokio::join!(refresh(&here, &token), refresh(&there, &token));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!((&a.refresh_token, &a.access_token), (&b.refresh_token, &b.access_token));
        token = a.refresh_token;
    }
}

#[tokio::test]
async fn refresh_tokens_last_seven_days() {
    let world = World::new();
    let service = world.process().await;
    let first = register(&service, "alice").await;
    world.pass(7 * 24 * 3600 - 1);
    let second = refresh(&service, &first.refresh_token).await.unwrap();
    world.pass(7 * 24 * 3600);
    assert_eq!(code(refresh(&service, &second.refresh_token).await), Code::Unauthenticated);
    assert_eq!(code(refresh(&service, "rubbish").await), Code::Unauthenticated);
}

#[tokio::test]
async fn forged_and_expired_tokens_are_told_apart() {
    let world = World::new();
    let service = world.process().await;
    let token = register(&service, "alice").await.access_token;
    let [header, payload, signature]: [&str; 3] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let encode = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    let admin = encode(&claims.replace("\"permissions\":[]", "\"permissions\":[\"admin\"]"));
    assert_ne!(admin, payload);
    let other_key = jsonwebtoken::encode(
        &jsonwebtoken::Header::default(),
        &serde_json::from_str::<serde_json::Value>(&claims).unwrap(),
        &jsonwebtoken::EncodingKey::from_secret(b"guess"),
    )
    .unwrap();
    for forged in [
        format!("{}.{payload}.", encode(r#"{"alg":"none","typ":"JWT"}"#)),
        format!("{}.{payload}.{signature}", encode(r#"{"alg":"none","typ":"JWT"}"#)),
        format!("{}.{payload}.{signature}", encode(r#"{"alg":"RS256","typ":"JWT"}"#)),
        format!("{}.{payload}.{signature}", encode(r#"{"alg":"HS512","typ":"JWT"}"#)),
        format!("{header}.{admin}.{signature}"),
        format!("{header}.{payload}.{}", "A".repeat(43)),
        format!("{header}.{payload}"),
        other_key,
        String::new(),
        "a.b.c".into(),
        "\0".repeat(100),
        "x".repeat(1_000_000),
        format!("c4a_{}", "A".repeat(43)),
    ] {
        assert_eq!(code(service.authenticate(&forged).await), Code::Unauthenticated, "{forged:.80}");
    }
    world.pass(3601);
    assert!(service.authenticate(&token).await.is_ok(), "clocks may be 2 seconds apart");
    world.pass(1);
    assert_eq!(code(service.authenticate(&token).await), Code::TokenExpired);
    let forged = format!("{header}.{payload}.{}", "A".repeat(43));
    assert_eq!(
        code(service.authenticate(&forged).await),
        Code::Unauthenticated,
        "forged comes before expired"
    );
}

#[tokio::test]
async fn a_logout_is_known_here_at_once_and_everywhere_soon() {
    let world = World::new();
    // One process shares the bus, one does not: it has the store alone to learn from.
    let (here, near) = (world.process().await, world.process().await);
    let far = world.process_with(Arc::new(EmbeddedBus::new()), settings()).await;
    let tasks = [tokio::spawn(Arc::clone(&near).run()), tokio::spawn(Arc::clone(&far).run())];
    let one = register(&here, "alice").await;
    let two = here.login(name_and("alice", PASSWORD), HOME).await.unwrap().value;
    let caller = far.authenticate(&one.access_token).await.unwrap();
    let mut news = far.watch().subscribe();

    here.logout(&caller, &LogoutRequest { all: false }).await.unwrap();
    assert_eq!(code(here.authenticate(&one.access_token).await), Code::Unauthenticated);
    assert_eq!(code(refresh(&far, &one.refresh_token).await), Code::Unauthenticated);
    for service in [&near, &far] {
        refused(service, &one.access_token).await;
        assert!(service.authenticate(&two.access_token).await.is_ok(), "the other session lives");
    }
    assert_eq!(news.recv().await.unwrap().session_id, caller.session_id);
    let late = world.process().await;
    assert_eq!(
        code(late.authenticate(&one.access_token).await),
        Code::Unauthenticated,
        "one that starts later"
    );

    let caller = here.authenticate(&two.access_token).await.unwrap();
    here.logout(&caller, &LogoutRequest { all: true }).await.unwrap();
    refused(&far, &two.access_token).await;
    for task in tasks {
        task.abort();
    }
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    let world = World::new();
    let service = world.process().await;
    let mine = register(&service, "alice").await;
    let other = service.login(name_and("alice", PASSWORD), HOME).await.unwrap().value;
    let caller = service.authenticate(&mine.access_token).await.unwrap();
    let change = |current: &str| PasswordRequest {
        current_password: current.into(),
        new_password: "battery staple".into(),
    };
    assert_eq!(code(service.change_password(&caller, change("wrong horse")).await), Code::InvalidCredentials);
    service.change_password(&caller, change(PASSWORD)).await.unwrap();
    assert!(service.authenticate(&mine.access_token).await.is_ok());
    assert_eq!(code(service.authenticate(&other.access_token).await), Code::Unauthenticated);
    assert_eq!(code(service.login(name_and("alice", PASSWORD), HOME).await), Code::InvalidCredentials);
    assert!(service.login(name_and("alice", "battery staple"), HOME).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn knocking_too_often_is_refused_until_the_window_has_passed() {
    let world = World::new();
    let minute = Duration::from_secs(60);
    let limits = AuthLimits { login_pair: Rule { hits: 3, window: minute }, ..AuthLimits::OFF };
    let service = world.process_with(Arc::clone(&world.bus), AccountSettings { limits, ..settings() }).await;
    register(&service, "alice").await;
    register(&service, "bob").await;
    for left in [2, 1, 0] {
        let failure = service.login(name_and("Alice", "wrong horse"), HOME).await.unwrap_err();
        let limit = failure.limit.unwrap();
        assert_eq!((failure.code, limit.remaining, limit.quota), (Code::InvalidCredentials, left, 3));
    }
    let refused = service.login(name_and("alice", PASSWORD), HOME).await.unwrap_err();
    assert_eq!(refused.code, Code::RateLimited, "whatever the password, in whatever case the name");
    let wait = refused.retry_after.unwrap();
    assert!(wait > Duration::ZERO && wait <= minute, "{wait:?}");
    assert!(service.login(name_and("bob", PASSWORD), HOME).await.is_ok(), "another account");
    assert!(service.login(name_and("alice", PASSWORD), AWAY).await.is_ok(), "another address");
    tokio::time::advance(wait + Duration::from_millis(1)).await;
    let answer = service.login(name_and("alice", PASSWORD), HOME).await.unwrap();
    assert_eq!(answer.limit.unwrap().quota, 3);
}

#[tokio::test]
async fn a_bot_speaks_with_its_key_until_that_is_revoked() {
    let world = World::new();
    let here = world.process().await;
    let far = world.process_with(Arc::new(EmbeddedBus::new()), settings()).await;
    let task = tokio::spawn(Arc::clone(&far).run());
    let owner = here.authenticate(&register(&here, "alice").await.access_token).await.unwrap();
    let named = |username: &str, scopes| BotRequest { username: username.into(), display_name: None, scopes };
    let bot = here.create_bot(&owner, named("helper", Some(vec![Scope::Read]))).await.unwrap();
    let key = bot.api_key.clone().unwrap();
    assert!(key.starts_with("c4a_"));

    let caller = far.authenticate(&key).await.unwrap();
    assert_eq!((caller.kind, caller.user_id.as_str()), (CallerKind::Bot, bot.bot_id.as_str()));
    assert!(caller.require(Scope::Read).is_ok());
    assert_eq!(code(caller.require(Scope::Write)), Code::Forbidden);
    assert_eq!(code(far.create_bot(&caller, named("nested", None)).await), Code::Forbidden);
    assert_eq!(code(far.update_me(&caller, ProfilePatch::default()).await), Code::Forbidden);
    let listed = here.list_bots(&owner).await.unwrap();
    assert_eq!((listed.items.len(), &listed.items[0].api_key), (1, &None), "the key is shown once");

    let stranger = here.authenticate(&register(&here, "mallory").await.access_token).await.unwrap();
    assert_eq!(code(here.revoke_bot(&stranger, &bot.bot_id).await), Code::NotFound);
    here.revoke_bot(&owner, &bot.bot_id).await.unwrap();
    assert_eq!(code(here.authenticate(&key).await), Code::Unauthenticated);
    // The clock stands still, so the key never grows stale there: the watch alone must tell.
    refused(&far, &key).await;
    assert!(here.list_bots(&owner).await.unwrap().items.is_empty());
    task.abort();
}

#[tokio::test]
async fn a_profile_is_patched_and_people_are_found() {
    let world = World::new();
    let service = world.process().await;
    let alice = service.authenticate(&register(&service, "alice").await.access_token).await.unwrap();
    for n in 0..3 {
        register(&service, &format!("silva{n}")).await;
    }
    let patch = |json: &str| serde_json::from_str::<ProfilePatch>(json).unwrap();
    let set = patch(r#"{"display_name": "Ana Silva", "time_zone": "America/Sao_Paulo"}"#);
    let me = service.update_me(&alice, set).await.unwrap();
    assert_eq!(me.time_zone.as_deref(), Some("America/Sao_Paulo"));
    let wrong = patch(r#"{"email": "x", "quiet_hours": {"from_minute": 1440, "to_minute": 0}}"#);
    assert_eq!(service.update_me(&alice, wrong).await.unwrap_err().errors.len(), 2);
    let me = service.update_me(&alice, patch(r#"{"time_zone": null}"#)).await.unwrap();
    assert_eq!((me.display_name.as_deref(), me.time_zone), (Some("Ana Silva"), None));

    let first = service.search_users(&alice, " SIL ", None, Some(3)).await.unwrap();
    let names: Vec<_> = first.items.iter().map(|u| u.username.as_str()).collect();
    assert_eq!(names, ["alice", "silva0", "silva1"]);
    let rest = service.search_users(&alice, "sil", first.next.as_deref(), Some(3)).await.unwrap();
    assert_eq!((rest.items[0].username.as_str(), rest.items.len(), rest.next), ("silva2", 1, None));
    assert_eq!(code(service.search_users(&alice, "s", None, None).await), Code::InvalidRequest);
    assert_eq!(service.user(&alice, &first.items[1].user_id).await.unwrap(), first.items[1]);
    for missing in ["nobody", "not an id", "whatsapp:+1"] {
        assert_eq!(code(service.user(&alice, missing).await), Code::NotFound);
    }
}

#[tokio::test]
async fn administrators_are_made_by_the_operator_and_logged() {
    let world = World::new();
    let service = world.process().await;
    let tokens = register(&service, "alice").await;
    let plain = service.authenticate(&tokens.access_token).await.unwrap();
    assert_eq!(code(service.grant_admin(Actor::Admin(&plain), "alice").await), Code::Forbidden);
    assert_eq!(code(service.grant_admin(Actor::Operator, "nobody").await), Code::NotFound);
    service.grant_admin(Actor::Operator, "Alice").await.unwrap();
    world.pass(1);
    let tokens = refresh(&service, &tokens.refresh_token).await.unwrap();
    let admin = service.authenticate(&tokens.access_token).await.unwrap();
    assert!(admin.is_admin());
    assert_eq!(service.list_accounts(Actor::Admin(&admin), None, None).await.unwrap().items.len(), 1);
    world.pass(1);
    service.revoke_admin(Actor::Operator, "alice").await.unwrap();
    assert_eq!(code(service.authenticate(&tokens.access_token).await), Code::Unauthenticated);
    world.pass(1);
    let password = service.reset_password(Actor::Operator, "alice", None).await.unwrap();
    assert!(service.login(name_and("alice", &password), HOME).await.is_ok());
    let log = service.audit_log(Actor::Operator, None, None).await.unwrap();
    let actions: Vec<_> = log.items.iter().map(|e| e.action.as_str()).collect();
    assert_eq!(actions, ["user.password.reset", "user.admin.revoke", "user.admin.grant"]);
    assert!(log.items.iter().all(|e| e.actor == "operator" && e.target == Some(tokens.user.user_id.clone())));
}

#[tokio::test]
async fn registration_can_need_an_invite_or_be_closed() {
    let world = World::new();
    let with = |registration| AccountSettings { registration, ..settings() };
    let closed = world.process_with(Arc::clone(&world.bus), with(Registration::Closed)).await;
    assert_eq!(code(closed.register(sign_up("alice"), HOME).await), Code::Forbidden);
    let invited = world.process_with(Arc::clone(&world.bus), with(Registration::Invite)).await;
    assert_eq!(code(invited.register(sign_up("alice"), HOME).await), Code::Forbidden);
    let invite = invited.create_invite(Actor::Operator, Duration::from_secs(60)).await.unwrap();
    let request = |name| RegisterRequest { invite: Some(invite.clone()), ..sign_up(name) };
    invited.register(request("alice"), HOME).await.unwrap();
    assert_eq!(code(invited.register(request("bob"), HOME).await), Code::Forbidden, "an invite admits one");
}
