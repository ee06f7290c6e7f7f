//! One request and its answer.

use http::{HeaderName, HeaderValue};
use url::Url;
use zeroize::Zeroizing;

use super::Inner;
use super::call::Call;
use crate::base::clock;
use crate::base::connection::Trace;
use crate::base::error::Error;
use crate::base::log::Level;
use crate::base::reply::{Meta, Reply};
use crate::base::secret::{self, Secret};
use crate::base::status::Status;
use crate::broker::hosts::{self, Environment, Generation};
use crate::broker::judge;
use crate::broker::message::{self, Answer, Failure, Request};
use crate::broker::operation::{Auth, Kind, Operation, Route};
use crate::broker::reads::Parts;
use crate::broker::request::{self, Credentials};
use crate::broker::session::Trade;
use crate::transport::Point;

/// Where the requests of one login go.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) api: Url,
    pub(super) oauth: Url,
    pub(super) on_gateway: bool,
}

impl Place {
    pub(super) fn fixed(api: Url) -> Self {
        Self::on(api, false)
    }

    /// One host for all, which may be that of the gateway.
    pub(super) fn on(api: Url, on_gateway: bool) -> Self {
        Self {
            oauth: api.clone(),
            api,
            on_gateway,
        }
    }
}

/// One request to make: which, in which generation, where.
pub(super) struct Target {
    pub(super) op: &'static Operation,
    pub(super) generation: Generation,
    pub(super) base: Url,
    pub(super) on_gateway: bool,
    /// Follows the path of the table, percent-encoded.
    pub(super) suffix: String,
    pub(super) query: Vec<(&'static str, String)>,
}

impl Target {
    pub(super) fn new(op: &'static Operation, generation: Generation, place: &Place) -> Self {
        Self {
            op,
            generation,
            base: place.api.clone(),
            on_gateway: place.on_gateway,
            suffix: String::new(),
            query: Vec::new(),
        }
    }

    fn url(&self, environment: Environment) -> Result<Url, Error> {
        let route = Route::of(self.generation, environment, self.on_gateway);
        let Some(path) = self.op.path(route) else {
            let message = format!(
                "the broker has no {} in generation {} ({})",
                self.op.name,
                self.generation.number(),
                environment.name()
            );
            return Err(Error::new(Status::InvalidArgument, message));
        };
        let mut url = hosts::join(&self.base, &format!("{path}{}", self.suffix));
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        Ok(url)
    }
}

impl Inner {
    /// Sends one request. A read is sent once more if the connection broke.
    pub(super) async fn exchange(
        &self,
        call: &Call,
        target: &Target,
        credentials: &Credentials<'_>,
        body: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<Answer, Error> {
        let op = target.op;
        let mut body = body;
        let mut may_repeat = op.kind == Kind::Read;
        let mut broken: Option<Failure> = None;
        loop {
            let turn = match (self.turn_to_read(call, op).await, broken.take()) {
                (Ok(turn), _) => turn,
                // There is no time to send it once more.
                (Err(_), Some(failure)) => return Err(Error::new(failure.status, failure.message)),
                (Err(error), None) => return Err(error),
            };
            let sent = if may_repeat {
                body.clone()
            } else {
                body.take()
            };
            let (request, id) = self.request(call, target, credentials, sent)?;
            let point = Point::default();
            call.points.borrow_mut().push((op.kind, point.clone()));
            call.is_asking(&id);
            let asked = clock::now();
            let aside = Trace::default();
            let trace = call.trace().unwrap_or(&aside);
            turn.leaves();
            let mut sent = self.net.send(request, &point, trace).await;
            turn.ends(&mut sent);
            match sent {
                Ok(answer) => {
                    call.hears(&answer);
                    self.saw(call, op, answer.date, asked);
                    self.log.line(
                        Level::Trace,
                        format_args!(
                            "{id} HTTP {} {} bytes",
                            answer.http_status,
                            answer.body.len()
                        ),
                    );
                    return Ok(answer);
                }
                Err(failure) if may_repeat && failure.status == Status::Network && failure.sent => {
                    self.log.line(
                        Level::Warn,
                        format_args!("{id} {}; once more", failure.message),
                    );
                    may_repeat = false;
                    broken = Some(failure);
                }
                Err(failure) => {
                    if !failure.sent {
                        point.take_back();
                    }
                    return Err(Error::new(failure.status, failure.message));
                }
            }
        }
    }

    /// The request that `target` stands for, and its id. From here on the
    /// call knows the secrets in it.
    pub(super) fn request(
        &self,
        call: &Call,
        target: &Target,
        credentials: &Credentials<'_>,
        body: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<(Request, String), Error> {
        for secret in [credentials.bearer, credentials.token, credentials.sid]
            .into_iter()
            .flatten()
        {
            call.knows(secret);
        }
        let environment = self.hosts.environment;
        let url = target.url(environment)?;
        if let Some(cookies) = self.jar.cookies(&url) {
            let mut secrets = call.secrets.borrow_mut();
            secrets.extend(message::cookie_values(&cookies));
        }
        let proxy = self.settings.proxy_secrets(&url);
        call.secrets.borrow_mut().extend(proxy);
        let generation = target.generation;
        let mut request =
            request::request(target.op, url, generation, environment, credentials, body)?;
        let id = uuid(self.random.take()?);
        let value = HeaderValue::from_str(&id)
            .map_err(|_| Error::new(Status::Internal, "a request id fits no header"))?;
        let name = HeaderName::from_static("x-request-id");
        request.headers.insert(name, value);
        let (host, path) = (request.url.host_str().unwrap_or(""), request.url.path());
        self.log.line(
            Level::Debug,
            format_args!("{} {host}{path} {id}", request.method),
        );
        Ok((request, id))
    }

    /// Where a call of a session goes.
    pub(super) fn target(&self, op: &'static Operation, trade: &Trade, parts: Parts) -> Target {
        let place = Place::on(trade.base.clone(), trade.on_gateway);
        let mut target = Target::new(op, trade.generation, &place);
        target.suffix = parts.path;
        target.query = parts.query;
        if trade.generation != Generation::Three {
            let server = trade.server_id.clone().unwrap_or_else(|| "None".to_owned());
            target.query.insert(0, ("sId", server));
        }
        target
    }

    /// Gives `work` the secrets that may stand in an answer.
    pub(super) fn with_secrets<T>(&self, call: &Call, work: impl FnOnce(&[&str]) -> T) -> T {
        work(&secret::exposed(&self.known(call)))
    }

    /// Every secret that a text of this call may quote.
    pub(super) fn known(&self, call: &Call) -> Vec<Secret> {
        let mut all = self.secrets();
        all.extend_from_slice(&call.secrets.borrow());
        all
    }

    /// The secrets of the client and of its sessions.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let config = &self.config;
        let configured = [
            &config.consumer_key,
            &config.consumer_secret,
            &config.access_token,
            &config.neo_fin_key,
        ];
        let mut all: Vec<Secret> = configured.into_iter().flatten().cloned().collect();
        let state = self.state();
        all.extend(state.bearer.as_ref().map(|bearer| bearer.token.clone()));
        if let Some(view) = &state.view {
            all.extend([view.token.clone(), view.sid.clone()]);
            all.extend(view.bearer.clone());
        }
        all.extend(state.trade.iter().flat_map(|trade| trade.secrets()));
        all
    }

    /// Takes an answer that has what `read` looks for, or tells why not.
    pub(super) fn accept<T>(
        &self,
        call: &Call,
        target: &Target,
        mut answer: Answer,
        read: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<(Reply, T), Error> {
        let payload = match answer.http_status {
            200..=299 if !judge::is_refusal(&answer) => read(&answer.body),
            _ => None,
        };
        let Some(payload) = payload else {
            return Err(self.refused(call, target, &answer));
        };
        match String::from_utf8(std::mem::take(&mut *answer.body)) {
            Ok(json) => {
                let reply = Reply {
                    json: Zeroizing::new(json),
                    http_status: answer.http_status,
                    date: answer.date,
                    meta: Meta::default(),
                };
                Ok((reply, payload))
            }
            Err(bytes) => {
                answer.body = Zeroizing::new(bytes.into_bytes());
                Err(self.refused(call, target, &answer))
            }
        }
    }

    /// The error that an answer stands for. A bearer token that may be the
    /// reason is forgotten, so that the next login makes a new one.
    pub(super) fn refused(&self, call: &Call, target: &Target, answer: &Answer) -> Error {
        let auth = target.op.headers(target.generation).auth;
        let error = self.with_secrets(call, |known| judge::error(target.op, auth, answer, known));
        let unwelcome = matches!(answer.http_status, 401 | 403);
        if matches!(auth, Auth::Bearer | Auth::BearerView | Auth::BearerTrade)
            && (unwelcome || error.status() == Status::SessionExpired)
        {
            self.state().bearer = None;
        }
        error
    }
}

/// A random UUID, version 4.
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = data_encoding::HEXLOWER.encode(&bytes);
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}
