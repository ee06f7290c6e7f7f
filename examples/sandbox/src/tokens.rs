//! What the sandbox has issued: OAuth2 bearers, sessions with their JWTs, one-time codes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use crate::random;

/// The generation of the API that a session belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    V1,
    V2,
    V3,
}

/// Which family of login paths a step came through. Both steps of a login must use one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    /// `login/1.0/...`: generation 3 in production, generations 1 and 2 on gw-napi.
    Login,
    /// `apim/...`: generation 2.
    Apim,
    /// `api/1.0/...`: UAT of every generation.
    Uat,
}

/// How far a login has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    View,
    Trade,
}

impl Scope {
    /// The word in `kType` and in the `scope` claim.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Scope::View => "View",
            Scope::Trade => "Trade",
        }
    }
}

/// One issued session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) generation: Generation,
    pub(crate) front: Front,
    pub(crate) scope: Scope,
    pub(crate) token: String,
    pub(crate) sid: String,
    pub(crate) rid: String,
    /// Where its login came from.
    pub(crate) address: IpAddr,
    expires: u64,
}

/// What kind of session is issued, and to where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Issue {
    pub(crate) generation: Generation,
    pub(crate) front: Front,
    pub(crate) scope: Scope,
    pub(crate) address: IpAddr,
}

/// The person in the claims of a JWT.
pub(crate) struct Subject<'a> {
    pub(crate) user_id: &'a str,
    pub(crate) ucc: &'a str,
    pub(crate) pan: &'a str,
}

/// Everything issued so far.
pub(crate) struct Tokens {
    key: [u8; 32],
    sessions: Mutex<HashMap<String, Arc<Session>>>,
    bearers: Mutex<HashMap<String, u64>>,
    otts: Mutex<HashMap<String, String>>,
    otp: Mutex<Otp>,
    /// When the last view session of the password login expires.
    password_view_until: AtomicU64,
}

#[derive(Default)]
struct Otp {
    last: Option<String>,
    usable: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is complete in itself, so a panic elsewhere leaves the value sound.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds since 1970.
pub(crate) fn unix_now() -> u64 {
    since_1970().as_secs()
}

/// Time since 1970. A clock set before that counts as 1970.
pub(crate) fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

impl Tokens {
    pub(crate) fn new() -> Self {
        Self {
            key: random::bytes(),
            sessions: Mutex::default(),
            bearers: Mutex::default(),
            otts: Mutex::default(),
            otp: Mutex::default(),
            password_view_until: AtomicU64::new(0),
        }
    }

    /// Issues an OAuth2 access token.
    pub(crate) fn issue_bearer(&self, lifetime: Duration) -> String {
        let token = random::uuid();
        lock(&self.bearers).insert(token.clone(), unix_now() + lifetime.as_secs());
        token
    }

    pub(crate) fn bearer_is_valid(&self, token: &str) -> bool {
        lock(&self.bearers)
            .get(token)
            .is_some_and(|expires| unix_now() < *expires)
    }

    pub(crate) fn expire_bearers(&self) {
        lock(&self.bearers).clear();
    }

    /// Issues a session with ids and a JWT of its own.
    pub(crate) fn issue_session(
        &self,
        issue: Issue,
        subject: &Subject<'_>,
        lifetime: Duration,
    ) -> Arc<Session> {
        let Issue {
            generation,
            front,
            scope,
            address,
        } = issue;
        let issued = unix_now();
        let expires = issued + lifetime.as_secs();
        let session = Arc::new(Session {
            generation,
            front,
            scope,
            token: self.jwt(scope, subject, issued, expires),
            sid: random::uuid(),
            rid: random::uuid(),
            address,
            expires,
        });
        if generation == Generation::V1 && scope == Scope::View {
            self.password_view_until
                .fetch_max(expires, Ordering::Relaxed);
        }
        lock(&self.sessions).insert(session.sid.clone(), Arc::clone(&session));
        session
    }

    /// The session that `sid` and `token` name together, unless it has expired.
    pub(crate) fn session(&self, sid: &str, token: &str) -> Option<Arc<Session>> {
        let sessions = lock(&self.sessions);
        let session = sessions.get(sid)?;
        (session.token == token && unix_now() < session.expires).then(|| Arc::clone(session))
    }

    /// Whether `sid` alone names a session that may trade; the price feed asks for no token.
    pub(crate) fn may_trade(&self, sid: &str) -> bool {
        let sessions = lock(&self.sessions);
        sessions
            .get(sid)
            .is_some_and(|session| session.scope == Scope::Trade && unix_now() < session.expires)
    }

    /// Whether some view session of the password login is alive.
    pub(crate) fn has_password_view(&self) -> bool {
        unix_now() < self.password_view_until.load(Ordering::Relaxed)
    }

    pub(crate) fn end_session(&self, sid: &str) {
        lock(&self.sessions).remove(sid);
    }

    pub(crate) fn expire_sessions(&self) {
        lock(&self.sessions).clear();
        self.password_view_until.store(0, Ordering::Relaxed);
    }

    /// A fresh OTP; the one before is no longer good.
    pub(crate) fn issue_otp(&self) -> String {
        let mut otp = lock(&self.otp);
        let code = loop {
            let code = random::four_digits();
            // Two in a row that are equal would hide a client that sends the old one.
            if otp.last.as_deref() != Some(&code) {
                break code;
            }
        };
        *otp = Otp {
            last: Some(code.clone()),
            usable: true,
        };
        code
    }

    pub(crate) fn last_otp(&self) -> Option<String> {
        lock(&self.otp).last.clone()
    }

    /// Whether `code` is the current OTP; if so it is used up.
    pub(crate) fn use_otp(&self, code: &str) -> bool {
        let mut otp = lock(&self.otp);
        let good = otp.usable && otp.last.as_deref() == Some(code);
        if good {
            otp.usable = false;
        }
        good
    }

    /// The one-time token that approval of a QR login for `ucc` gives.
    pub(crate) fn issue_ott(&self, ucc: &str) -> String {
        let ott = random::uuid();
        lock(&self.otts).insert(ott.clone(), ucc.to_owned());
        ott
    }

    /// Whether `ott` was issued for `ucc`; if so it is used up.
    pub(crate) fn use_ott(&self, ott: &str, ucc: &str) -> bool {
        let mut otts = lock(&self.otts);
        let good = otts.get(ott).is_some_and(|issued_for| issued_for == ucc);
        if good {
            otts.remove(ott);
        }
        good
    }

    fn jwt(&self, scope: Scope, subject: &Subject<'_>, issued: u64, expires: u64) -> String {
        let claims = json!({
            "scope": [scope.word()],
            "exp": expires,
            "jti": random::uuid(),
            "iat": issued,
            "iss": "login-service",
            "sub": subject.user_id,
            "ucc": subject.ucc,
            "nap": subject.pan,
            "fetchcachingrule": 0,
            "categorisation": "",
        });
        let mut token = URL_SAFE_NO_PAD.encode(br#"{"typ":"JWT","alg":"HS256"}"#);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut token);
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        mac.update(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(mac.finalize().into_bytes(), &mut token);
        token
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const SUBJECT: Subject<'_> = Subject {
        user_id: "u",
        ucc: "C",
        pan: "P",
    };
    const HOUR: Duration = Duration::from_secs(3600);

    fn issue(tokens: &Tokens, scope: Scope, lifetime: Duration) -> Arc<Session> {
        let issue = Issue {
            generation: Generation::V3,
            front: Front::Login,
            scope,
            address: [127, 0, 0, 1].into(),
        };
        tokens.issue_session(issue, &SUBJECT, lifetime)
    }

    #[test]
    fn jwts_carry_their_claims_and_a_true_signature() {
        let tokens = Tokens::new();
        let session = issue(&tokens, Scope::Trade, HOUR);
        let parts: Vec<&str> = session.token.split('.').collect();
        assert_eq!(parts.len(), 3);
        let header: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[0]).unwrap()).unwrap();
        assert_eq!(header, json!({"typ": "JWT", "alg": "HS256"}));
        let claims: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
        assert_eq!(claims["scope"], json!(["Trade"]));
        assert_eq!(claims["iss"], "login-service");
        assert_eq!(claims["sub"], "u");
        assert_eq!(claims["ucc"], "C");
        assert_eq!(claims["nap"], "P");
        assert_eq!(
            claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
            3600
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(&tokens.key).unwrap();
        mac.update(format!("{}.{}", parts[0], parts[1]).as_bytes());
        mac.verify_slice(&URL_SAFE_NO_PAD.decode(parts[2]).unwrap())
            .unwrap();
    }

    #[test]
    fn sessions_are_found_by_both_parts_and_end() {
        let tokens = Tokens::new();
        let one = issue(&tokens, Scope::View, HOUR);
        let two = issue(&tokens, Scope::Trade, HOUR);
        assert!(tokens.session(&one.sid, &one.token).is_some());
        assert!(tokens.session(&one.sid, &two.token).is_none());
        assert!(tokens.session("", "").is_none());
        tokens.end_session(&one.sid);
        assert!(tokens.session(&one.sid, &one.token).is_none());
        assert!(tokens.session(&two.sid, &two.token).is_some());
        tokens.expire_sessions();
        assert!(tokens.session(&two.sid, &two.token).is_none());
        let dead = issue(&tokens, Scope::View, Duration::ZERO);
        assert!(tokens.session(&dead.sid, &dead.token).is_none());
    }

    #[test]
    fn one_time_codes_work_once() {
        let tokens = Tokens::new();
        assert!(!tokens.use_otp(""));
        let first = tokens.issue_otp();
        let second = tokens.issue_otp();
        assert!(!tokens.use_otp(&first));
        assert!(tokens.use_otp(&second));
        assert!(!tokens.use_otp(&second));
        let ott = tokens.issue_ott("C");
        assert!(!tokens.use_ott(&ott, "D"));
        assert!(tokens.use_ott(&ott, "C"));
        assert!(!tokens.use_ott(&ott, "C"));
    }

    #[test]
    fn bearers_live_their_time() {
        let tokens = Tokens::new();
        let bearer = tokens.issue_bearer(HOUR);
        assert!(tokens.bearer_is_valid(&bearer));
        assert!(!tokens.bearer_is_valid(&tokens.issue_bearer(Duration::ZERO)));
        tokens.expire_bearers();
        assert!(!tokens.bearer_is_valid(&bearer));
    }
}
