//! A certificate authority that speaks ACME (RFC 8555), for tests: strict with its clients, and wrong on request.
//!
//! An [`Acme`] serves HTTPS on a loopback address with a certificate of its [`Authority`], under the host name that it was
//! given. It checks every signature, nonce and URL; it looks for challenges by really connecting to where
//! [`Acme::names_lead_to`] says that all names lead; it signs requests with the same authority. [`Acme::fail`] makes it
//! fail in one of the ways in which authorities do. What its clients did wrong stands in [`Acme::complaints`].

mod jws;
mod look;
mod signing;
mod wire;

use crate::Authority;
use jws::{Key, Signer, object, text};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use wire::{Reply, Request};

const DAY: Duration = Duration::from_secs(86_400);

/// A way in which an authority fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcmeFault {
    /// The next signed request meets a nonce that is not good any more.
    BadNonce,
    /// The next order is refused: one of the authority's limits is reached, come again in so many seconds.
    RateLimited(u32),
    /// The next order is answered with what is no JSON.
    Garbage,
    /// It knows none of its accounts any more.
    ForgottenAccounts,
    /// Whatever is shown for this name, it is not good enough.
    Unverified(String),
    /// Names are verified, but no order becomes ready.
    NeverReady,
    /// Orders are taken, but no certificate comes.
    NeverIssued,
    /// Certificates are for another key.
    ForeignKey,
    /// Certificates are no certificates.
    GarbageCertificate,
    /// This kind of challenge is not offered.
    Without(&'static str),
}

impl AcmeFault {
    /// These happen once.
    fn is_single(&self) -> bool {
        matches!(self, Self::BadNonce | Self::RateLimited(_) | Self::Garbage | Self::ForgottenAccounts)
    }
}

/// The authority; it serves until this is dropped.
pub struct Acme {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

struct Shared {
    base: String,
    authority: Authority,
    book: Mutex<Book>,
}

/// What it knows.
struct Book {
    nonces: HashSet<String>,
    accounts: BTreeMap<String, (Key, Value)>,
    orders: Vec<Order>,
    faults: Vec<AcmeFault>,
    life: (SystemTime, SystemTime),
    leads_to: Option<(SocketAddr, SocketAddr)>,
    dns: Option<SocketAddr>,
    complaints: Vec<String>,
    count: u64,
}

struct Order {
    account: String,
    names: Vec<String>,
    /// For each name.
    checks: Vec<Check>,
    /// In PEM, once it was issued.
    certificate: Option<String>,
    finalized: bool,
}

/// What is known of one name.
struct Check {
    token: String,
    /// The kind that was tried, and whether it was good.
    tried: Option<(&'static str, Result<(), String>)>,
}

/// How [`Check`] says it; the kinds of challenges that there are.
const KINDS: [&str; 3] = ["http-01", "tls-alpn-01", "dns-01"];

impl Acme {
    /// Serves as `host` on this address; whoever asks must come to `https://host:port/directory`.
    pub async fn serve(host: &str, address: SocketAddr) -> Acme {
        let authority = Authority::new();
        let tls = TlsAcceptor::from(authority.certificate(&[host]).server());
        let listener = TcpListener::bind(address).await.expect("the address of an authority is free");
        let address = listener.local_addr().expect("a listener has an address");
        let now = SystemTime::now();
        let book = Book {
            nonces: HashSet::new(),
            accounts: BTreeMap::new(),
            orders: Vec::new(),
            faults: Vec::new(),
            life: (now - DAY, now + 89 * DAY),
            leads_to: None,
            dns: None,
            complaints: Vec::new(),
            count: 0,
        };
        let shared = Arc::new(Shared { base: format!("https://{host}:{}", address.port()), authority, book: Mutex::new(book) });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&serving).lead(stream, tls.clone()));
            }
        });
        Acme { shared, address, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where a client begins.
    pub fn directory_url(&self) -> String {
        format!("{}/directory", self.shared.base)
    }

    /// Signs its own certificate and those of its clients.
    pub fn authority(&self) -> &Authority {
        &self.shared.authority
    }

    /// Where it looks for challenges of any name: in plain, and with TLS.
    pub fn names_lead_to(&self, http: SocketAddr, https: SocketAddr) {
        self.shared.book().leads_to = Some((http, https));
    }

    /// The name server that it asks for challenges of any name.
    pub fn names_are_known_at(&self, dns: SocketAddr) {
        self.shared.book().dns = Some(dns);
    }

    /// Fails so from now on, or the next time; see [`AcmeFault`].
    pub fn fail(&self, fault: AcmeFault) {
        self.shared.book().faults.push(fault);
    }

    /// Fails no more.
    pub fn recover(&self) {
        self.shared.book().faults.clear();
    }

    /// The life of certificates that are issued from now on.
    pub fn issue_for(&self, from: SystemTime, until: SystemTime) {
        self.shared.book().life = (from, until);
    }

    /// The names of every order, the oldest first.
    pub fn orders(&self) -> Vec<Vec<String>> {
        self.shared.book().orders.iter().map(|order| order.names.clone()).collect()
    }

    /// The kinds of challenges that were tried for the names of the last order.
    pub fn tried(&self) -> Vec<&'static str> {
        let book = self.shared.book();
        let checks = book.orders.last().into_iter().flat_map(|order| &order.checks);
        checks.filter_map(|check| check.tried.as_ref().map(|(kind, _)| *kind)).collect()
    }

    /// Every certificate that was issued, in PEM with its chain.
    pub fn issued(&self) -> Vec<String> {
        self.shared.book().orders.iter().filter_map(|order| order.certificate.clone()).collect()
    }

    /// What clients said when they made their accounts.
    pub fn accounts(&self) -> Vec<Value> {
        self.shared.book().accounts.values().map(|(_, said)| said.clone()).collect()
    }

    /// What clients did wrong; a fault of the authority is no fault of theirs.
    pub fn complaints(&self) -> Vec<String> {
        self.shared.book().complaints.clone()
    }
}

impl Drop for Acme {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// RFC 8555 §6.7.
fn problem(status: u16, kind: &str, detail: &str) -> Reply {
    let body = json!({"type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail, "status": status});
    Reply { status, body: body.to_string().into_bytes(), ..Reply::default() }.with("content-type", "application/problem+json")
}

fn document(status: u16, body: &Value) -> Reply {
    Reply { status, body: body.to_string().into_bytes(), ..Reply::default() }.with("content-type", "application/json")
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no test panics while it holds the book")
    }

    async fn lead(self: Arc<Self>, stream: TcpStream, tls: TlsAcceptor) {
        let Ok(mut stream) = tls.accept(stream).await else { return };
        let Ok(request) = wire::read(&mut stream).await else { return };
        let reply = self.answer(&request);
        // RFC 8555 §6.5: a nonce with every answer.
        let reply = reply.with("replay-nonce", self.book().nonce()).with("cache-control", "no-store");
        // A client that went away needs no answer.
        _ = wire::write(&mut stream, &reply, request.method != "HEAD").await;
    }

    fn answer(self: &Arc<Self>, request: &Request) -> Reply {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/directory") => self.directory(),
            ("HEAD" | "GET", "/nonce") => Reply { status: 200, ..Reply::default() },
            ("POST", _) => match self.post(request) {
                Ok(reply) => reply,
                Err(reply) => reply,
            },
            (method, path) => self.complain(problem(404, "malformed", &format!("{method} {path}"))),
        }
    }

    fn complain(&self, reply: Reply) -> Reply {
        self.book().complaints.push(String::from_utf8_lossy(&reply.body).into_owned());
        reply
    }

    fn directory(&self) -> Reply {
        let base = &self.base;
        document(
            200,
            &json!({
                "newNonce": format!("{base}/nonce"), "newAccount": format!("{base}/account"), "newOrder": format!("{base}/order"),
                "revokeCert": format!("{base}/revoke"), "keyChange": format!("{base}/key"),
                "meta": {"termsOfService": format!("{base}/terms")},
            }),
        )
    }

    fn post(self: &Arc<Self>, request: &Request) -> Result<Reply, Reply> {
        let malformed = |why: String| self.complain(problem(400, "malformed", &why));
        if request.content_type.as_deref() != Some("application/jose+json") {
            return Err(malformed("the content is not application/jose+json".into()));
        }
        if self.book().takes(&AcmeFault::ForgottenAccounts) {
            self.book().accounts.clear();
        }
        let url = format!("{}{}", self.base, request.path);
        let opened = jws::open(&request.body, &url, |kid| self.book().accounts.get(kid).map(|(key, _)| key.clone()));
        let opened = opened.map_err(|why| match why.as_str() {
            "accountDoesNotExist" => problem(400, "accountDoesNotExist", "there is no such account"),
            _ => malformed(why),
        })?;
        if !self.book().nonces.remove(&opened.nonce) {
            return Err(self.complain(problem(400, "badNonce", "this nonce was not given out, or used before")));
        }
        if self.book().takes(&AcmeFault::BadNonce) {
            return Err(problem(400, "badNonce", "this nonce is too old"));
        }
        match (request.path.as_str(), opened.signer) {
            ("/account", Signer::New(key)) => self.new_account(key, &opened.payload),
            ("/order", Signer::Account(account)) => self.new_order(&account, &opened.payload),
            (path, Signer::Account(account)) => self.on_order(path, &account, &opened.payload),
            (path, Signer::New(_)) => Err(malformed(format!("{path} is for accounts"))),
        }
    }

    /// RFC 8555 §7.3.
    fn new_account(&self, key: Key, payload: &[u8]) -> Result<Reply, Reply> {
        let said = object(payload).ok_or_else(|| self.complain(problem(400, "malformed", "no object")))?;
        if said.get("termsOfServiceAgreed") != Some(&Value::Bool(true)) {
            return Err(self.complain(problem(403, "userActionRequired", "the terms were not agreed to")));
        }
        let mut book = self.book();
        let url = format!("{}/account/{}", self.base, book.next());
        book.accounts.insert(url.clone(), (key, Value::Object(said)));
        Ok(document(201, &json!({"status": "valid", "orders": format!("{url}/orders")})).with("location", url))
    }

    /// RFC 8555 §7.4.
    fn new_order(&self, account: &str, payload: &[u8]) -> Result<Reply, Reply> {
        let mut book = self.book();
        if let Some(AcmeFault::RateLimited(seconds)) = book.take(|fault| matches!(fault, AcmeFault::RateLimited(_))) {
            return Err(problem(429, "rateLimited", "too many certificates").with("retry-after", seconds.to_string()));
        }
        if book.takes(&AcmeFault::Garbage) {
            return Ok(Reply { status: 201, body: b"<html>\0\xff".to_vec(), ..Reply::default() });
        }
        let names: Option<Vec<String>> = object(payload).and_then(|said| {
            let identifiers = said.get("identifiers")?.as_array()?;
            identifiers
                .iter()
                .map(|one| Some(one.get("value").filter(|_| one.get("type") == Some(&json!("dns")))?.as_str()?.to_owned()))
                .collect()
        });
        let Some(names) = names.filter(|names| !names.is_empty()) else {
            drop(book);
            return Err(self.complain(problem(400, "malformed", "there are no names")));
        };
        let checks = names.iter().map(|_| Check { token: format!("token-{}_{}", book.next(), "x".repeat(22)), tried: None }).collect();
        book.orders.push(Order { account: account.to_owned(), names, checks, certificate: None, finalized: false });
        let number = book.orders.len() - 1;
        Ok(document(201, &self.show(&book, number)).with("location", format!("{}/order/{number}", self.base)))
    }

    /// RFC 8555 §7.1.3.
    fn show(&self, book: &Book, number: usize) -> Value {
        let (order, base) = (&book.orders[number], &self.base);
        let authorizations: Vec<String> = (0..order.names.len()).map(|at| format!("{base}/authz/{number}/{at}")).collect();
        let mut shown = json!({
            "status": order.status(&book.faults),
            "identifiers": order.names.iter().map(|name| json!({"type": "dns", "value": name})).collect::<Vec<_>>(),
            "authorizations": authorizations,
            "finalize": format!("{base}/finalize/{number}"),
        });
        if order.certificate.is_some() {
            shown["certificate"] = json!(format!("{base}/certificate/{number}"));
        }
        shown
    }

    /// What concerns one order: `/KIND/NUMBER`, for some with the number of a name behind it and a kind of challenge.
    fn on_order(self: &Arc<Self>, path: &str, account: &str, payload: &[u8]) -> Result<Reply, Reply> {
        let wrong = || self.complain(problem(404, "malformed", &format!("there is no {path}")));
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let number: usize = parts.get(1).and_then(|part| part.parse().ok()).ok_or_else(wrong)?;
        if self.book().orders.get(number).is_none_or(|order| order.account != account) {
            return Err(wrong());
        }
        let name = parts.get(2).and_then(|part| part.parse().ok()).unwrap_or(0);
        if name >= self.book().orders[number].names.len() {
            return Err(wrong());
        }
        match (parts[0], parts.len()) {
            ("order", 2) => Ok(document(200, &self.show(&self.book(), number))),
            ("authz", 3) => Ok(document(200, &self.show_check(&self.book(), number, name))),
            ("challenge", 4) => {
                let kind = KINDS.into_iter().find(|kind| *kind == parts[3]).ok_or_else(wrong)?;
                self.begin_look(number, name, kind);
                Ok(document(200, &self.show_challenge(&self.book(), number, name, kind)))
            }
            ("finalize", 2) => self.finalize(number, payload),
            ("certificate", 2) => {
                let text = self.book().orders[number].certificate.clone().ok_or_else(wrong)?;
                Ok(Reply { status: 200, body: text.into_bytes(), ..Reply::default() }
                    .with("content-type", "application/pem-certificate-chain"))
            }
            _ => Err(wrong()),
        }
    }

    /// RFC 8555 §7.1.4.
    fn show_check(&self, book: &Book, number: usize, name: usize) -> Value {
        let order = &book.orders[number];
        let status = match &order.checks[name].tried {
            None => "pending",
            Some((_, Ok(()))) => "valid",
            Some((_, Err(_))) => "invalid",
        };
        let offered = KINDS.into_iter().filter(|kind| !book.faults.contains(&AcmeFault::Without(kind)));
        let challenges: Vec<Value> = offered.map(|kind| self.show_challenge(book, number, name, kind)).collect();
        json!({"status": status, "identifier": {"type": "dns", "value": order.names[name]}, "challenges": challenges})
    }

    fn show_challenge(&self, book: &Book, number: usize, name: usize, kind: &str) -> Value {
        let check = &book.orders[number].checks[name];
        let url = format!("{}/challenge/{number}/{name}/{kind}", self.base);
        let mut shown = json!({"type": kind, "url": url, "token": check.token, "status": "pending"});
        match &check.tried {
            Some((tried, Ok(()))) if *tried == kind => shown["status"] = json!("valid"),
            Some((tried, Err(why))) if *tried == kind => {
                shown["status"] = json!("invalid");
                shown["error"] = json!({"type": "urn:ietf:params:acme:error:unauthorized", "detail": why, "status": 403});
            }
            _ => {}
        }
        shown
    }

    /// RFC 8555 §7.5.1: it looks by and by.
    fn begin_look(self: &Arc<Self>, number: usize, name: usize, kind: &'static str) {
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let (host, token, want, leads_to, dns, spoilt) = {
                let book = shared.book();
                let order = &book.orders[number];
                let (host, token) = (order.names[name].clone(), order.checks[name].token.clone());
                let thumbprint = book.accounts.get(&order.account).map_or("", |(key, _)| &key.thumbprint);
                let spoilt = book.faults.contains(&AcmeFault::Unverified(host.clone()));
                (host, token.clone(), format!("{token}.{thumbprint}"), book.leads_to, book.dns, spoilt)
            };
            let seen = match (kind, leads_to, dns) {
                ("http-01", Some((http, _)), _) => look::http_01(http, &host, &token, &want).await,
                ("tls-alpn-01", Some((_, https)), _) => look::tls_alpn_01(https, &host, &want).await,
                ("dns-01", _, Some(dns)) => look::dns_01(dns, &host, &want).await,
                _ => Err("the name leads nowhere".to_owned()),
            };
            let seen = if spoilt { Err("the name is not good enough".to_owned()) } else { seen };
            shared.book().orders[number].checks[name].tried = Some((kind, seen));
        });
    }

    /// RFC 8555 §7.4.
    fn finalize(&self, number: usize, payload: &[u8]) -> Result<Reply, Reply> {
        let mut book = self.book();
        let bad = |book: &mut Book, kind: &str, why: String| {
            let reply = problem(403, kind, &why);
            book.complaints.push(why);
            reply
        };
        let order = &book.orders[number];
        if order.status(&book.faults) != "ready" {
            return Err(bad(&mut book, "orderNotReady", "the order is not ready".into()));
        }
        let names = order.names.clone();
        let csr = object(payload).ok_or_else(|| "no object".to_owned()).and_then(|said| jws::decoded(text(&said, "csr")?));
        let key = match csr.and_then(|csr| signing::read(&csr, &names)) {
            Ok(_) if book.faults.contains(&AcmeFault::ForeignKey) => signing::Requested::other(),
            Ok(key) => key,
            Err(why) => return Err(bad(&mut book, "badCSR", why)),
        };
        let chain = match book.faults.contains(&AcmeFault::GarbageCertificate) {
            true => "-----BEGIN CERTIFICATE-----\nZ2FyYmFnZQ==\n-----END CERTIFICATE-----\n".to_owned(),
            false => self.authority.sign_for(signing::params(&names, book.life), &key),
        };
        let never = book.faults.contains(&AcmeFault::NeverIssued);
        let order = &mut book.orders[number];
        order.finalized = true;
        order.certificate = Some(chain).filter(|_| !never);
        Ok(document(200, &self.show(&book, number)))
    }
}

impl Order {
    /// RFC 8555 §7.1.6.
    fn status(&self, faults: &[AcmeFault]) -> &'static str {
        let is = |good: bool| move |check: &Check| check.tried.as_ref().is_some_and(|(_, seen)| seen.is_ok() == good);
        match () {
            () if self.certificate.is_some() => "valid",
            () if self.finalized => "processing",
            () if self.checks.iter().any(is(false)) => "invalid",
            () if self.checks.iter().all(is(true)) && !faults.contains(&AcmeFault::NeverReady) => "ready",
            () => "pending",
        }
    }
}

impl Book {
    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn nonce(&mut self) -> String {
        let nonce = format!("nonce{:032x}", rand::random::<u128>());
        self.nonces.insert(nonce.clone());
        nonce
    }

    fn takes(&mut self, fault: &AcmeFault) -> bool {
        self.take(|own| own == fault).is_some()
    }

    /// Takes out a fault that happens once.
    fn take(&mut self, is: impl Fn(&AcmeFault) -> bool) -> Option<AcmeFault> {
        let at = self.faults.iter().position(|fault| fault.is_single() && is(fault))?;
        Some(self.faults.remove(at))
    }
}
