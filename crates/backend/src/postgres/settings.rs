//! What a URL asks for:
//! `postgres://user:password@host:5432,host:5432/database?sslmode=verify-full&sslrootcert=/ca.pem&schema=chat&pool=16&timeout_ms=10000`

use super::fault::Engine;
use crate::address::EngineUrl;
use crate::{Error, ErrorKind, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};

const PORT: u16 = 5432;
const POOL: usize = 16;
const MAX_POOL: usize = 1_000;
const LIMIT: Duration = Duration::from_secs(10);
const LIMITS_MS: std::ops::RangeInclusive<u128> = 100..=600_000;
/// How long making a connection may take, to all hosts together, and to one address.
const CONNECTING: Duration = Duration::from_secs(8);
const CONNECTING_ONE: Duration = Duration::from_secs(3);
/// When a silent connection is asked whether it still is one, and how long an answer of TCP may take.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The longest name of a schema.
const MAX_NAME: usize = 63;

pub(super) struct Settings {
    pub(super) config: Config,
    pub(super) tls: Tls,
    /// The schema that has the tables; none for the user's own default.
    pub(super) namespace: Option<String>,
    pub(super) pool: usize,
    pub(super) limit: Duration,
    pub(super) connecting: Duration,
    pub(super) engine: Engine,
}

impl Settings {
    pub(super) fn of(mut url: EngineUrl) -> Result<Self> {
        let shown = url.to_string();
        let wrong = |why: &str| Error::new(ErrorKind::Invalid, format!("{shown}: {why}"));
        if !["postgres", "postgresql"].contains(&url.scheme()) {
            return Err(wrong("it does not begin with `postgres://`"));
        }
        let user = url
            .user()
            .map(str::to_owned)
            .ok_or_else(|| wrong("it names no user: write `postgres://user:password@…`"))?;
        if url.path().is_empty() || url.path().contains('/') {
            return Err(wrong("it names no database: write `postgres://…/database`"));
        }
        let hosts = url.hosts(PORT);
        let address = url.addresses(PORT).join(",");
        let mut config = Config::new();
        for (host, port) in &hosts {
            config.host(host).port(*port);
        }
        config.user(user.as_str()).dbname(url.path());
        if let Some(password) = url.password() {
            config.password(password);
        }
        let (mode, tls) = security(&mut url, &wrong)?;
        let namespace = url.take("schema");
        if let Some(name) = &namespace
            && !is_plain(name)
        {
            return Err(wrong("the value of `schema` must be a name of a-z, 0-9 and _, at most 63 of them"));
        }
        let pool = url.take_as("pool", "a number of connections")?.unwrap_or(POOL);
        if !(1..=MAX_POOL).contains(&pool) {
            return Err(wrong(&format!("the value of `pool` must be from 1 to {MAX_POOL}")));
        }
        let limit = url.take_ms("timeout_ms")?.unwrap_or(LIMIT);
        if !LIMITS_MS.contains(&limit.as_millis()) {
            return Err(wrong("the value of `timeout_ms` must be from 100 to 600000"));
        }
        url.finish(&["sslmode", "sslrootcert", "schema", "pool", "timeout_ms"])?;
        let connecting = CONNECTING.min(limit);
        let one = connecting / u32::try_from(hosts.len()).unwrap_or(u32::MAX);
        config
            .ssl_mode(mode)
            .application_name("chat4all")
            .options(options(limit, namespace.as_deref()))
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .connect_timeout(CONNECTING_ONE.min(one))
            .keepalives_idle(KEEP_ALIVE)
            .tcp_user_timeout(KEEP_ALIVE);
        let (user, database) = (user.into(), url.path().into());
        let engine = Engine { address: address.into(), database, user, connecting };
        Ok(Self { config, tls, namespace, pool, limit, connecting, engine })
    }
}

/// What is set in every session. Each query of ours is made to follow an index row by row: a planner whose statistics
/// are old or missing must not think otherwise. One plan is made for all values, for with arrays of few it would be
/// made anew for every call.
fn options(limit: Duration, namespace: Option<&str>) -> String {
    let ms = limit.as_millis();
    let path = namespace.map(|name| format!(" -c search_path={name}")).unwrap_or_default();
    format!(
        "-c statement_timeout={ms} -c idle_in_transaction_session_timeout={ms} -c jit=off -c enable_seqscan=off \
         -c enable_bitmapscan=off -c enable_material=off -c enable_hashjoin=off -c enable_mergejoin=off \
         -c plan_cache_mode=force_generic_plan{path}"
    )
}

/// A name that needs no quotes.
fn is_plain(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase() || first == b'_')
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && name.len() <= MAX_NAME
}

fn security(url: &mut EngineUrl, wrong: &impl Fn(&str) -> Error) -> Result<(SslMode, Tls)> {
    let ca = url.take("sslrootcert");
    let (mode, verified) = match url.take("sslmode").as_deref() {
        Some("disable") => (SslMode::Disable, false),
        None | Some("prefer") => (SslMode::Prefer, false),
        Some("require") => (SslMode::Require, false),
        Some("verify-full") => (SslMode::Require, true),
        Some(_) => {
            return Err(wrong("the value of `sslmode` must be disable, prefer, require or verify-full"));
        }
    };
    match (verified, ca) {
        (true, ca) => Ok((mode, Tls::Verified(ca.map(PathBuf::from)))),
        (false, None) => Ok((mode, Tls::Unverified)),
        (false, Some(_)) => Err(wrong("`sslrootcert` is of use with `sslmode=verify-full` only")),
    }
}

/// Whose certificate is believed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tls {
    /// That of the host's name, signed by an authority of this file, or by one of the operating system's.
    Verified(Option<PathBuf>),
    /// Anybody's, as libpq does without `verify-full`: it keeps out who listens, not who stands between.
    Unverified,
}

impl Tls {
    /// Blocks while it reads files.
    pub(super) fn client(&self) -> Result<ClientConfig> {
        match self {
            Self::Verified(ca) => crate::tls::client(ca.as_deref()).map(Arc::unwrap_or_clone),
            Self::Unverified => {
                let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
                let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
                    .with_safe_default_protocol_versions()
                    .map_err(|e| Error::new(ErrorKind::Invalid, e))?;
                let anybody = Arc::new(Anybody(provider));
                Ok(config.dangerous().with_custom_certificate_verifier(anybody).with_no_client_auth())
            }
        }
    }
}

/// Believes every certificate whose key the server has.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<Settings> {
        Settings::of(EngineUrl::parse(text)?)
    }

    #[test]
    fn a_url_becomes_settings() {
        let found = settings("postgres://me:p%40ss@a,b:6000/chat?schema=c4a&pool=3&timeout_ms=700").unwrap();
        assert_eq!(found.config.get_ports(), [5432, 6000]);
        assert_eq!(found.config.get_password(), Some(b"p@ss".as_slice()));
        assert_eq!(found.config.get_ssl_mode(), SslMode::Prefer);
        assert_eq!(found.config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        assert_eq!((found.pool, found.limit), (3, Duration::from_millis(700)));
        let options = found.config.get_options().unwrap();
        assert!(
            options.contains("statement_timeout=700 ") && options.ends_with("search_path=c4a"),
            "{options}"
        );
        assert_eq!(&*found.engine.address, "a:5432,b:6000");
        let tls = |parameters| settings(&format!("postgres://me@a/chat?{parameters}")).unwrap().tls;
        assert_eq!(tls("sslmode=verify-full"), Tls::Verified(None));
        assert_eq!(tls("sslmode=verify-full&sslrootcert=/x"), Tls::Verified(Some("/x".into())));
        assert_eq!(tls("sslmode=require"), Tls::Unverified);
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said() {
        for (text, words) in [
            ("mysql://me@a/chat", "postgres://"),
            ("postgres://a/chat", "names no user"),
            ("postgres://me@a", "names no database"),
            ("postgres://me@a/chat?sslmode=allow", "verify-full"),
            ("postgres://me@a/chat?sslrootcert=/x", "sslmode=verify-full"),
            ("postgres://me@a/chat?schema=Drop%20it", "a-z"),
            ("postgres://me@a/chat?pool=0", "from 1 to 1000"),
            ("postgres://me@a/chat?pool=many", "a number of connections"),
            ("postgres://me@a/chat?timeout_ms=5", "from 100"),
            ("postgres://me@a/chat?timeout=5", "`timeout` is no parameter"),
        ] {
            let error = settings(text).err().unwrap();
            assert_eq!(error.kind, ErrorKind::Invalid);
            assert!(error.to_string().contains(words), "{text}: {error}");
        }
        let error = settings("postgres://me:hush@a/chat?pool=0").err().unwrap();
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}
