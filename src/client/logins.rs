//! The logins: which steps in which order.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use url::Url;
use zeroize::Zeroizing;

use super::call::Call;
use super::exchange::{Place, Target};
use super::{Bearer, Client, Inner, State, User};
use crate::base::clock;
use crate::base::error::Error;
use crate::base::reply::Reply;
use crate::base::secret::Secret;
use crate::base::status::Status;
use crate::broker::check::{self, Mobile};
use crate::broker::hosts::{Environment, Generation, Hosts};
use crate::broker::judge;
use crate::broker::login;
use crate::broker::operation::{self, Operation};
use crate::broker::params::Common;
use crate::broker::request::{self, Credentials};
use crate::broker::session::{self, BaseFrom, Identity, Trade, View};

/// The most that the feed-URL lookup may add to a login.
const FEED_CONFIG_LIMIT: Duration = Duration::from_secs(5);
/// A bearer token that ends sooner is not used any more.
const BEARER_MARGIN: Duration = Duration::from_secs(60);
/// What the official SDK answers to a logout.
const LOGGED_OUT: &str = r#"{"State":"OK","message":"You have been successfully logged out"}"#;

impl Client {
    /// First step of the TOTP login: a view session, which may only take the
    /// second step.
    ///
    /// # Errors
    ///
    /// See the guide; a wrong TOTP is [`Status::Rejected`].
    pub fn totp_login(&self, mobile_number: &str, ucc: &str, totp: &str) -> Result<Reply, Error> {
        self.0
            .totp_login(&Common::default(), mobile_number, ucc, totp)
    }

    /// Second step of the TOTP login: a trade session.
    ///
    /// # Errors
    ///
    /// [`Status::NotLoggedIn`] without the first step; a wrong MPIN is
    /// [`Status::Rejected`].
    pub fn totp_validate(&self, mpin: &str) -> Result<Reply, Error> {
        self.0.totp_validate(&Common::default(), mpin)
    }

    /// First step of the password login of generation 1. Exactly one of the
    /// three identifiers is given; an empty one counts as not given.
    ///
    /// # Errors
    ///
    /// A wrong password is [`Status::Rejected`].
    pub fn login(
        &self,
        mobile_number: Option<&str>,
        user_id: Option<&str>,
        pan: Option<&str>,
        password: &str,
    ) -> Result<Reply, Error> {
        self.0
            .login(&Common::default(), mobile_number, user_id, pan, password)
    }

    /// Second factor of the password login: the 4-digit OTP, or the 6-digit
    /// MPIN after a login with mobile number or PAN.
    ///
    /// # Errors
    ///
    /// [`Status::NotLoggedIn`] without the first step; a wrong code is
    /// [`Status::Rejected`].
    pub fn session_2fa(&self, otp: &str) -> Result<Reply, Error> {
        self.0.session_2fa(&Common::default(), otp)
    }

    /// OAuth2 of the older generations: exchanges consumer key and secret for
    /// a bearer token. The logins do it when it is needed.
    ///
    /// # Errors
    ///
    /// A wrong key or secret is [`Status::Rejected`].
    pub fn session_init(&self) -> Result<Reply, Error> {
        self.0.session_init(&Common::default())
    }

    /// First step of the QR login of generation 2: the link that the user
    /// opens.
    ///
    /// # Errors
    ///
    /// See the guide.
    pub fn qr_code_link(&self, ucc: &str) -> Result<Reply, Error> {
        self.0.qr_code_link(&Common::default(), ucc)
    }

    /// Second step of the QR login: the one-time token that the page gave
    /// becomes a trade session.
    ///
    /// # Errors
    ///
    /// A wrong token is [`Status::Rejected`].
    pub fn qr_code_session(&self, ott: &str, ucc: &str) -> Result<Reply, Error> {
        self.0.qr_code_session(&Common::default(), ott, ucc)
    }

    /// Ends the session. Generation 3 only forgets it, as the official SDK
    /// does; the older ones tell the broker first.
    ///
    /// # Errors
    ///
    /// [`Status::NotLoggedIn`] without a trade session. After any other
    /// failure the session is kept, so that the call can be made again, unless
    /// the broker says that it does not know the session.
    pub fn logout(&self) -> Result<Reply, Error> {
        self.0.logout(&Common::default())
    }
}

impl Inner {
    pub(super) fn totp_login(
        &self,
        common: &Common,
        mobile_number: &str,
        ucc: &str,
        totp: &str,
    ) -> Result<Reply, Error> {
        let op = &operation::TOTP_LOGIN;
        self.call(op, common, async |call| {
            let mobile = Mobile::parse("mobile_number", mobile_number)?;
            let ucc = check::ucc(ucc)?;
            let totp = check::totp(totp)?;
            let generation = self.generation(Generation::Three, &[Generation::Two])?;
            call.knows(&totp);
            let _gate = self.gate.lock().await;
            self.forget_cookies_of_others(User::Ucc(ucc.to_owned()));
            let place = match generation {
                Generation::Two => self.two(call, ucc).await?,
                _ => Place::fixed(self.hosts.session()),
            };
            let bearer = match generation {
                Generation::Two => Some(self.bearer(call, &place.oauth, generation).await?),
                _ => None,
            };
            let mut credentials = self.credentials();
            credentials.bearer = bearer.as_ref();
            let body = login::totp_login_body(&mobile, ucc, &totp);
            let target = Target::new(op, generation, &place);
            let (reply, granted) = self.step(call, target, &credentials, body).await?;
            self.enter_view(View {
                generation,
                token: granted.token,
                sid: granted.sid,
                ucc: granted.ucc.or_else(|| Some(ucc.to_owned())),
                identity: Identity::Mobile(mobile),
                user_id: None,
                base: place.api,
                on_gateway: place.on_gateway,
                bearer,
            });
            Ok(reply)
        })
    }

    pub(super) fn totp_validate(&self, common: &Common, mpin: &str) -> Result<Reply, Error> {
        let op = &operation::TOTP_VALIDATE;
        self.call(op, common, async |call| {
            let mpin = check::mpin(mpin)?;
            call.knows(&mpin);
            let _gate = self.gate.lock().await;
            let view = self.view("kneo_totp_login", |generation| {
                generation != Generation::One
            })?;
            let body = login::totp_validate_body(&mpin);
            self.second_step(call, op, &view, body).await
        })
    }

    pub(super) fn login(
        &self,
        common: &Common,
        mobile_number: Option<&str>,
        user_id: Option<&str>,
        pan: Option<&str>,
        password: &str,
    ) -> Result<Reply, Error> {
        let op = &operation::LOGIN;
        self.call(op, common, async |call| {
            let given = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
            let count = [mobile_number, user_id, pan]
                .into_iter()
                .filter(|id| given(*id))
                .count();
            if count != 1 {
                let problem = format!("give exactly one of the three, {count} were given");
                return Err(Error::argument("mobile_number, user_id, pan", problem));
            }
            let mut user_id = user_id.unwrap_or("");
            let identity = match (mobile_number, pan) {
                (Some(mobile), _) if !mobile.is_empty() => {
                    Identity::Mobile(Mobile::parse("mobile_number", mobile)?)
                }
                (_, Some(pan)) if !pan.is_empty() => Identity::Pan(check::pan(pan)?),
                _ => {
                    user_id = check::present("user_id", user_id)?;
                    Identity::Other
                }
            };
            let password = check::password(password)?;
            let generation = self.generation(Generation::One, &[])?;
            call.knows(&password);
            let _gate = self.gate.lock().await;
            self.forget_cookies_of_others(match identity {
                Identity::Other => User::Id(user_id.to_owned()),
                _ => User::By(identity.clone()),
            });
            let place = self.one();
            let bearer = self.bearer(call, &place.oauth, generation).await?;
            let mut credentials = self.credentials();
            credentials.bearer = Some(&bearer);
            let body = login::login_body(&identity, user_id, &password);
            let target = Target::new(op, generation, &place);
            let (reply, granted) = self.step(call, target, &credentials, body).await?;
            let user_id = session::claim(granted.token.expose(), "sub")
                .and_then(|sub| sub.as_str().map(str::to_owned));
            self.ask_for_otp(call, &place, &credentials, user_id.as_deref())
                .await;
            self.enter_view(View {
                generation,
                token: granted.token,
                sid: granted.sid,
                ucc: granted.ucc,
                identity,
                user_id,
                base: place.api,
                on_gateway: false,
                bearer: Some(bearer),
            });
            Ok(reply)
        })
    }

    pub(super) fn session_2fa(&self, common: &Common, otp: &str) -> Result<Reply, Error> {
        let op = &operation::SESSION_2FA;
        self.call(op, common, async |call| {
            let otp = check::otp(otp)?;
            call.knows(&otp);
            let _gate = self.gate.lock().await;
            let view = self.view("kneo_login", |generation| generation == Generation::One)?;
            let body = login::session_2fa_body(&view, &otp)?;
            self.second_step(call, op, &view, body).await
        })
    }

    pub(super) fn session_init(&self, common: &Common) -> Result<Reply, Error> {
        self.call(&operation::SESSION_INIT, common, async |call| {
            let generation = self.generation(Generation::One, &[Generation::Two])?;
            let _gate = self.gate.lock().await;
            if generation == Generation::Two && self.hosts.environment == Environment::Prod {
                return Err(Error::argument(
                    "config.generation",
                    "generation 2 finds its host by the UCC; kneo_totp_login and kneo_qr_code_link \
                     make this step themselves",
                ));
            }
            let (reply, bearer) = self
                .new_bearer(call, &self.hosts.oauth(), generation)
                .await?;
            self.state().bearer = Some(bearer);
            Ok(reply)
        })
    }

    pub(super) fn qr_code_link(&self, common: &Common, ucc: &str) -> Result<Reply, Error> {
        let op = &operation::QR_CODE_LINK;
        self.call(op, common, async |call| {
            let ucc = check::ucc(ucc)?;
            let generation = self.generation(Generation::Two, &[])?;
            let _gate = self.gate.lock().await;
            self.forget_cookies_of_others(User::Ucc(ucc.to_owned()));
            let place = self.two(call, ucc).await?;
            let bearer = self.bearer(call, &place.oauth, generation).await?;
            let mut credentials = self.credentials();
            credentials.bearer = Some(&bearer);
            let mut target = Target::new(op, generation, &place);
            target.query = vec![("id", ucc.to_owned())];
            let answer = self.exchange(call, &target, &credentials, None).await?;
            let accepted = self.accept(call, &target, answer, |body| {
                login::has_data(body).then_some(())
            });
            let (reply, ()) = accepted?;
            self.state().qr = Some((ucc.to_owned(), place));
            Ok(reply)
        })
    }

    pub(super) fn qr_code_session(
        &self,
        common: &Common,
        ott: &str,
        ucc: &str,
    ) -> Result<Reply, Error> {
        let op = &operation::QR_CODE_SESSION;
        self.call(op, common, async |call| {
            let ott = Secret::new(check::present("ott", ott)?.to_owned());
            let ucc = check::ucc(ucc)?;
            let generation = self.generation(Generation::Two, &[])?;
            call.knows(&ott);
            let _gate = self.gate.lock().await;
            self.forget_cookies_of_others(User::Ucc(ucc.to_owned()));
            // Where the link came from, if it was this client that asked for it.
            let begun = self.state().qr.clone().filter(|(of, _)| of == ucc);
            let place = match begun {
                Some((_, place)) => place,
                None => self.two(call, ucc).await?,
            };
            let bearer = self.bearer(call, &place.oauth, generation).await?;
            let mut credentials = self.credentials();
            credentials.bearer = Some(&bearer);
            let body = login::qr_session_body(ott.expose(), ucc);
            let target = Target::new(op, generation, &place);
            let (reply, granted) = self.step(call, target, &credentials, body).await?;
            let view = View {
                generation,
                token: granted.token.clone(),
                sid: granted.sid.clone(),
                ucc: Some(ucc.to_owned()),
                identity: Identity::Other,
                user_id: None,
                base: place.api.clone(),
                on_gateway: place.on_gateway,
                bearer: Some(bearer),
            };
            let trade = self.trade_session(call, &view, granted).await?;
            self.state().qr = None;
            self.enter_trade(trade);
            Ok(reply)
        })
    }

    pub(super) fn logout(&self, common: &Common) -> Result<Reply, Error> {
        let op = &operation::LOGOUT;
        self.call(op, common, async |call| {
            let _gate = self.gate.lock().await;
            let trade = self.trade()?;
            // Generation 3, and generation 2 on the gateway host, have no such
            // call: the session is only forgotten.
            let told = if trade.generation == Generation::Three || trade.on_gateway {
                Ok(Reply::local(LOGGED_OUT.to_owned()))
            } else {
                self.tell_logout(call, &trade).await
            };
            if told
                .as_ref()
                .map_or_else(|error| error.status() == Status::SessionExpired, |_| true)
            {
                *self.state() = State::default();
                self.jar.clear();
                self.feeds.session_changed();
            }
            told
        })
    }

    /// The generation of a login that is of `usual`, or of one of `others` if
    /// the configuration says so.
    fn generation(&self, usual: Generation, others: &[Generation]) -> Result<Generation, Error> {
        match self.config.generation {
            None => Ok(usual),
            Some(wanted) if wanted == usual || others.contains(&wanted) => Ok(wanted),
            Some(wanted) => {
                let problem = format!(
                    "this login does not exist in generation {}",
                    wanted.number()
                );
                Err(Error::argument("config.generation", problem))
            }
        }
    }

    fn view(&self, first: &str, fits: impl Fn(Generation) -> bool) -> Result<Arc<View>, Error> {
        let view = self
            .state()
            .view
            .clone()
            .filter(|view| fits(view.generation));
        view.ok_or_else(|| {
            let message = format!("this is the second step of a login; call {first} first");
            Error::new(Status::NotLoggedIn, message)
        })
    }

    /// Another user's cookies must not travel with this one's login.
    fn forget_cookies_of_others(&self, user: User) {
        let mut state = self.state();
        let before = state.cookies_of.replace(user);
        if before.is_some() && before != state.cookies_of {
            self.jar.clear();
        }
    }

    fn one(&self) -> Place {
        Place {
            api: self.hosts.gateway(),
            oauth: self.hosts.oauth(),
            on_gateway: false,
        }
    }

    /// Finds the hosts of generation 2 for a user.
    async fn two(&self, call: &Call, ucc: &str) -> Result<Place, Error> {
        if self.hosts.environment == Environment::Uat {
            return Ok(self.one());
        }
        // What the next step cannot do without, before anything is sent.
        let config = &self.config;
        if config.access_token.is_none() && self.state().bearer.is_none() {
            request::application(
                config.consumer_key.as_ref(),
                config.consumer_secret.as_ref(),
            )?;
        }
        let op = &operation::BASE_URL;
        let mut target = Target::new(op, Generation::Two, &Place::fixed(self.hosts.lookup()));
        target.query = vec![("id", ucc.to_owned())];
        let answer = self
            .exchange(call, &target, &Credentials::default(), None)
            .await?;
        let (_, named) = self.accept(call, &target, answer, login::looked_up_base)?;
        let base = self
            .hosts
            .named("baseURL", &named)
            .map_err(|problem| Error::new(Status::Protocol, problem))?;
        let on_gateway = Hosts::is_gateway(&named);
        let oauth = if on_gateway {
            self.hosts.oauth()
        } else {
            base.clone()
        };
        Ok(Place {
            api: base,
            oauth,
            on_gateway,
        })
    }

    /// The bearer token for `oauth`: one that is there, the configured one, or
    /// a new one.
    async fn bearer(
        &self,
        call: &Call,
        oauth: &Url,
        generation: Generation,
    ) -> Result<Secret, Error> {
        let good = |bearer: &&Bearer| {
            let soon = clock::now() + BEARER_MARGIN;
            bearer.from == *oauth && bearer.good_until.is_none_or(|end| end > soon)
        };
        let kept = self
            .state()
            .bearer
            .as_ref()
            .filter(good)
            .map(|bearer| bearer.token.clone());
        let bearer = match kept.or_else(|| self.config.access_token.clone()) {
            Some(token) => token,
            None => {
                let (_, bearer) = self.new_bearer(call, oauth, generation).await?;
                let token = bearer.token.clone();
                self.state().bearer = Some(bearer);
                token
            }
        };
        call.knows(&bearer);
        Ok(bearer)
    }

    async fn new_bearer(
        &self,
        call: &Call,
        oauth: &Url,
        generation: Generation,
    ) -> Result<(Reply, Bearer), Error> {
        let op = &operation::SESSION_INIT;
        let target = Target::new(op, generation, &Place::fixed(oauth.clone()));
        let config = &self.config;
        let pair = request::application(
            config.consumer_key.as_ref(),
            config.consumer_secret.as_ref(),
        )?;
        call.knows(&pair);
        let credentials = Credentials {
            application: Some(&pair),
            ..self.credentials()
        };
        let body = Some(login::session_init_body());
        let answer = self.exchange(call, &target, &credentials, body).await?;
        let (reply, (token, seconds)) = self.accept(call, &target, answer, login::bearer)?;
        call.knows(&token);
        if let Some(problem) = login::unfit_token("access_token", &token) {
            return Err(useless(op, &reply, &problem));
        }
        let good_until =
            seconds.and_then(|seconds| clock::now().checked_add(Duration::from_secs(seconds)));
        Ok((
            reply,
            Bearer {
                token,
                from: oauth.clone(),
                good_until,
            },
        ))
    }

    /// Sends one step of a login and reads what it grants.
    async fn step(
        &self,
        call: &Call,
        target: Target,
        credentials: &Credentials<'_>,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<(Reply, login::Granted), Error> {
        let answer = self
            .exchange(call, &target, credentials, Some(body))
            .await?;
        let (reply, granted) = self.accept(call, &target, answer, login::granted)?;
        let secrets = [&granted.token, &granted.sid]
            .into_iter()
            .chain(&granted.rid);
        secrets.for_each(|secret| call.knows(secret));
        match granted.problem() {
            Some(problem) => Err(useless(target.op, &reply, &problem)),
            None => Ok((reply, granted)),
        }
    }

    /// Sends the second step of a login and enters the session that it grants.
    async fn second_step(
        &self,
        call: &Call,
        op: &'static Operation,
        view: &View,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Reply, Error> {
        let place = Place::on(view.base.clone(), view.on_gateway);
        let target = Target::new(op, view.generation, &place);
        let credentials = self.credentials().with_view(view);
        let (reply, granted) = self.step(call, target, &credentials, body).await?;
        let trade = self.trade_session(call, view, granted).await?;
        self.enter_trade(trade);
        Ok(reply)
    }

    /// Asks the broker to send an OTP. The login is valid without it, so what
    /// happened is told in the meta data only.
    async fn ask_for_otp(
        &self,
        call: &Call,
        place: &Place,
        credentials: &Credentials<'_>,
        user_id: Option<&str>,
    ) {
        let op = &operation::OTP_GENERATE;
        let asked = async {
            let Some(user_id) = user_id else {
                return Err(Error::new(Status::Protocol, "the view token names no user"));
            };
            let target = Target::new(op, Generation::One, place);
            let body = Some(login::otp_generate_body(user_id));
            let answer = self.exchange(call, &target, credentials, body).await?;
            let ok = (200..300).contains(&answer.http_status) && !judge::is_refusal(&answer);
            if ok {
                Ok(())
            } else {
                Err(self.refused(call, &target, &answer))
            }
        };
        let told = match call.best_effort(call.deadline, asked).await {
            Ok(Ok(())) => json!({"requested": true}),
            Ok(Err(error)) => json!({"requested": false, "problem": error.message()}),
            Err(why) => json!({"requested": false, "problem": why}),
        };
        call.extra.borrow_mut().insert("otp".to_owned(), told);
    }

    /// Makes a trade session of what the second step granted.
    async fn trade_session(
        &self,
        call: &Call,
        view: &View,
        granted: login::Granted,
    ) -> Result<Trade, Error> {
        // Of the step that was granted, before anything else is asked.
        let login_family = call.family();
        let three = view.generation == Generation::Three;
        let named = granted.base_url.as_deref();
        let base = match named {
            // In UAT there is one host, whatever the answer names.
            Some(text) if three && self.hosts.environment == Environment::Prod => self
                .hosts
                .named("baseUrl", text)
                .map_err(|problem| Error::new(Status::Protocol, problem))?,
            _ => view.base.clone(),
        };
        let base_from = BaseFrom::of(view.generation, self.hosts.environment, named.is_some());
        if base_from == BaseFrom::Login {
            call.notes.borrow_mut().push(no_base_url(&base));
        }
        let (mut feed_url, mut order_feed_url) = (None, None);
        if three {
            let center = granted.data_center.as_deref().unwrap_or("");
            let service = self.feed_config(call, center).await;
            let mut notes = call.notes.borrow_mut();
            feed_url = Some(login::choose_feed(
                &self.hosts,
                [
                    ("broadcast_endpoint", service.feed.as_deref()),
                    ("feedUrl", granted.feed_url.as_deref()),
                ],
                self.hosts.default_feed(),
                &mut notes,
            ));
            let on_base = named.and_then(|text| self.hosts.order_feed_on(text).ok());
            let default = on_base.unwrap_or_else(|| self.hosts.order_feed_of(center));
            order_feed_url = Some(login::choose_feed(
                &self.hosts,
                [
                    ("interactive_endpoint", service.order_feed.as_deref()),
                    ("rtUrl", granted.rt_url.as_deref()),
                ],
                default,
                &mut notes,
            ));
        }
        Ok(Trade {
            generation: view.generation,
            environment: self.hosts.environment,
            token: granted.token,
            sid: granted.sid,
            rid: granted.rid,
            ucc: granted.ucc.or_else(|| view.ucc.clone()),
            data_center: granted.data_center,
            server_id: granted.server_id,
            base,
            base_from,
            on_gateway: view.on_gateway,
            bearer: view.bearer.clone(),
            feed_url,
            order_feed_url,
            logged_in_at: clock::unix_seconds(),
            login_family,
        })
    }

    /// Asks the config service for feed URLs: best effort, five seconds at
    /// most, and told in a note if it failed.
    async fn feed_config(&self, call: &Call, data_center: &str) -> login::FeedUrls {
        if data_center.is_empty() {
            return login::FeedUrls::default();
        }
        let op = &operation::FEED_CONFIG;
        let place = Place::fixed(self.hosts.config_service());
        let mut target = Target::new(op, Generation::Three, &place);
        let environment = match self.hosts.environment {
            Environment::Prod => "prod",
            Environment::Uat => "qa",
        };
        target.query = vec![
            ("appVersion", env!("CARGO_PKG_VERSION").to_owned()),
            ("platform", "api".to_owned()),
            ("environment", environment.to_owned()),
        ];
        let asked = async {
            let credentials = Credentials {
                consumer_key: self.config.consumer_key.as_ref(),
                ..Credentials::default()
            };
            let answer = self.exchange(call, &target, &credentials, None).await?;
            let read = |body: &[u8]| Some(login::feed_urls(body, data_center));
            self.accept(call, &target, answer, read)
                .map(|(_, urls)| urls)
        };
        let limit = call.deadline.min(clock::now() + FEED_CONFIG_LIMIT);
        let problem = match call.best_effort(limit, asked).await {
            Ok(Ok(Some(urls))) => return urls,
            Ok(Ok(None)) => format!("no entry for the data centre {data_center}"),
            Ok(Err(error)) => error.message().to_owned(),
            Err(why) => why.to_owned(),
        };
        call.notes
            .borrow_mut()
            .push(format!("feed config service: {problem}"));
        login::FeedUrls::default()
    }

    async fn tell_logout(&self, call: &Call, trade: &Trade) -> Result<Reply, Error> {
        let op = &operation::LOGOUT;
        let credentials = self.credentials().with_trade(trade);
        let place = Place::on(trade.base.clone(), trade.on_gateway);
        let mut target = Target::new(op, trade.generation, &place);
        target.query = vec![(
            "sId",
            trade.server_id.clone().unwrap_or_else(|| "None".to_owned()),
        )];
        let body = Some(Zeroizing::default());
        let answer = self.exchange(call, &target, &credentials, body).await?;
        if !(200..300).contains(&answer.http_status) || judge::is_refusal(&answer) {
            return Err(self.refused(call, &target, &answer));
        }
        // The broker's answer is not documented: any success will do.
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&answer.body).is_ok();
        if is_json {
            return self
                .accept(call, &target, answer, |_| Some(()))
                .map(|(reply, ())| reply);
        }
        let mut reply = Reply::local(LOGGED_OUT.to_owned());
        reply.http_status = answer.http_status;
        Ok(reply)
    }
}

/// What is told of a session whose answer named no host for it.
fn no_base_url(host_of_login: &Url) -> String {
    let host = host_of_login.host_str().unwrap_or("");
    format!(
        "the broker's answer names no baseUrl: calls go to {host}, the host of the login, which \
         may refuse all of them with code 200032; if it does, log in again"
    )
}

/// A step was granted, and nothing can be made of it. The answer is not shown:
/// it has tokens.
fn useless(op: &Operation, reply: &Reply, problem: &str) -> Error {
    let name = op.name;
    let message = format!("the broker's answer to {name} {problem}; it gives no session");
    Error::new(Status::Protocol, message).with_broker(reply.http_status, "", &[])
}
