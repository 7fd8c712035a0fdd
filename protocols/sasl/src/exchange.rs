//! One authentication: responses and answers in, challenges, questions and an outcome out.
//!
//! Reads bytes from strangers. A response in the wrong state, too long or ill-formed ends it as malformed;
//! an ended exchange stays ended.

use crate::{Answer, ChannelBindings, Mechanism, Next, Outcome, Question, Secret};
use base64::{Engine, engine::general_purpose::STANDARD};

/// A response is never longer: names and passwords of RFC 4616's 255 octets, and channel data, fit well.
const RESPONSE_BYTES_MAX: usize = 4096;

/// One authentication.
#[derive(Debug)]
pub struct Exchange {
    mechanism: Mechanism,
    bindings: ChannelBindings,
    nonce: String,
    success_data: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Begin,
    LoginName,
    LoginPassword { login: String },
    PasswordAsked,
    ParametersAsked(First),
    ScramFinal { first: First, server_first: String, nonce: String },
    ProofAsked,
    ServerFinalSent { account: String },
    Ended,
}

/// What the client's first SCRAM message said.
#[derive(Debug)]
struct First {
    header: String,
    binding: Vec<u8>,
    authorization: String,
    login: String,
    nonce: String,
    bare: String,
}

impl Exchange {
    /// `server_nonce` must be fresh, unguessable and printable without a comma.
    pub fn new(mechanism: Mechanism, bindings: ChannelBindings, server_nonce: String) -> Self {
        Self { mechanism, bindings, nonce: server_nonce, success_data: false, state: State::Begin }
    }

    /// For protocols that carry data with success (ManageSieve): saves a round trip.
    pub fn with_success_data(mut self) -> Self {
        self.success_data = true;
        self
    }

    /// A response, decoded from base64; `None` when the command carried no initial one.
    pub fn client(&mut self, response: Option<&[u8]>) -> Next {
        let state = std::mem::replace(&mut self.state, State::Ended);
        let Some(response) = response else { return self.prompt(state) };
        if response.len() > RESPONSE_BYTES_MAX {
            return Next::Done(Outcome::Malformed);
        }
        let Ok(text) = std::str::from_utf8(response) else { return Next::Done(Outcome::Malformed) };
        let next = match (state, self.mechanism) {
            (State::Begin, Mechanism::Plain) => self.plain(text),
            (State::Begin | State::LoginName, Mechanism::Login) => self.login_name(text),
            (State::LoginPassword { login }, _) => self.login_password(login, text),
            (State::Begin, Mechanism::ScramSha256 | Mechanism::ScramSha256Plus) => self.scram_first(text),
            (State::ScramFinal { first, server_first, nonce }, _) => self.scram_final(&first, &server_first, &nonce, text),
            (State::ServerFinalSent { account }, _) if text.is_empty() => Some(Next::Done(Outcome::Granted { account, final_data: None })),
            _ => None,
        };
        next.unwrap_or(Next::Done(Outcome::Malformed))
    }

    /// The door's answer to the question asked last.
    pub fn answer(&mut self, answer: Answer) -> Next {
        let state = std::mem::replace(&mut self.state, State::Ended);
        match (state, answer) {
            (State::PasswordAsked, Answer::Granted { account }) => Next::Done(Outcome::Granted { account, final_data: None }),
            (State::ParametersAsked(first), Answer::ScramParameters { salt, iterations }) => {
                let nonce = format!("{}{}", first.nonce, self.nonce);
                let server_first = format!("r={nonce},s={},i={iterations}", STANDARD.encode(salt));
                let challenge = server_first.clone().into_bytes();
                self.state = State::ScramFinal { first, server_first, nonce };
                Next::Challenge(challenge)
            }
            (State::ProofAsked, Answer::ScramGranted { account, server_signature }) => {
                let last = format!("v={}", STANDARD.encode(server_signature)).into_bytes();
                if self.success_data {
                    return Next::Done(Outcome::Granted { account, final_data: Some(last) });
                }
                self.state = State::ServerFinalSent { account };
                Next::Challenge(last)
            }
            (_, Answer::Denied) => Next::Done(Outcome::Denied),
            // An answer to another question is our own fault: never a grant.
            _ => Next::Done(Outcome::Unavailable),
        }
    }

    fn prompt(&mut self, state: State) -> Next {
        match (state, self.mechanism) {
            (State::Begin, Mechanism::Login) => {
                self.state = State::LoginName;
                Next::Challenge(b"Username:".to_vec())
            }
            (State::Begin, _) => {
                self.state = State::Begin;
                Next::Challenge(Vec::new())
            }
            _ => Next::Done(Outcome::Malformed),
        }
    }

    /// RFC 4616 §2: message = [authzid] UTF8NUL authcid UTF8NUL passwd
    fn plain(&mut self, text: &str) -> Option<Next> {
        let mut parts = text.split('\0');
        let (authorization, login, password) = (parts.next()?, parts.next()?, parts.next()?);
        if login.is_empty() || password.is_empty() || parts.next().is_some() {
            return None;
        }
        Some(self.ask_password(authorization.to_owned(), login.to_owned(), password))
    }

    fn login_name(&mut self, text: &str) -> Option<Next> {
        if text.is_empty() || text.contains('\0') {
            return None;
        }
        self.state = State::LoginPassword { login: text.to_owned() };
        Some(Next::Challenge(b"Password:".to_vec()))
    }

    fn login_password(&mut self, login: String, text: &str) -> Option<Next> {
        if text.is_empty() || text.contains('\0') {
            return None;
        }
        Some(self.ask_password(String::new(), login, text))
    }

    fn ask_password(&mut self, authorization: String, login: String, password: &str) -> Next {
        self.state = State::PasswordAsked;
        Next::Ask(Question::Password { authorization, login, password: Secret::new(password.to_owned()) })
    }

    /// RFC 5802 §7: client-first-message = gs2-header client-first-message-bare
    fn scram_first(&mut self, text: &str) -> Option<Next> {
        let mut parts = text.splitn(3, ',');
        let (flag, authorization, bare) = (parts.next()?, parts.next()?, parts.next()?);
        let binding = self.binding(flag)?;
        let authorization_name = match authorization {
            "" => String::new(),
            other => saslname(other.strip_prefix("a=")?)?,
        };
        // `m=` would stand first and is refused with everything that is not `n=` (RFC 5802 §5.1).
        let mut fields = bare.split(',');
        let login = saslname(fields.next()?.strip_prefix("n=")?)?;
        let nonce = fields.next()?.strip_prefix("r=").filter(|nonce| printable(nonce))?;
        let first = First {
            header: format!("{flag},{authorization},"),
            binding,
            authorization: authorization_name,
            login: login.clone(),
            nonce: nonce.to_owned(),
            bare: bare.to_owned(),
        };
        self.state = State::ParametersAsked(first);
        Some(Next::Ask(Question::ScramParameters { login }))
    }

    /// RFC 5802 §6: which data the client must have bound to; `None` refuses.
    fn binding(&self, flag: &str) -> Option<Vec<u8>> {
        match (self.mechanism, flag) {
            (Mechanism::ScramSha256, "n") => Some(Vec::new()),
            // `y` says "you offer no -PLUS": when we did, somebody cut it out of the offer.
            (Mechanism::ScramSha256, "y") if !self.bindings.any() => Some(Vec::new()),
            (Mechanism::ScramSha256Plus, "p=tls-exporter") => self.bindings.exporter.clone(),
            (Mechanism::ScramSha256Plus, "p=tls-server-end-point") => self.bindings.server_end_point.clone(),
            _ => None,
        }
    }

    /// RFC 5802 §7: client-final-message = channel-binding "," nonce ["," extensions] "," proof
    fn scram_final(&mut self, first: &First, server_first: &str, nonce: &str, text: &str) -> Option<Next> {
        let (without_proof, proof) = text.rsplit_once(",p=")?;
        let mut fields = without_proof.split(',');
        let bound = STANDARD.decode(fields.next()?.strip_prefix("c=")?).ok()?;
        if bound != [first.header.as_bytes(), &first.binding].concat() || fields.next()?.strip_prefix("r=")? != nonce {
            return None;
        }
        let client_proof: [u8; 32] = STANDARD.decode(proof).ok()?.try_into().ok()?;
        let auth_message = format!("{},{server_first},{without_proof}", first.bare).into_bytes();
        self.state = State::ProofAsked;
        let (authorization, login) = (first.authorization.clone(), first.login.clone());
        Some(Next::Ask(Question::ScramProof { authorization, login, auth_message, client_proof }))
    }
}

/// RFC 5802 §5.1: "=2C" is a comma, "=3D" an equals sign, and no other "=" may stand.
fn saslname(text: &str) -> Option<String> {
    let mut parts = text.split('=');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        let (sign, rest) = part.strip_prefix("2C").map(|rest| (',', rest)).or_else(|| part.strip_prefix("3D").map(|rest| ('=', rest)))?;
        name.push(sign);
        name.push_str(rest);
    }
    (!name.is_empty() && !name.contains('\0')).then_some(name)
}

fn printable(nonce: &str) -> bool {
    !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scram;

    fn exchange(mechanism: Mechanism, nonce: &str) -> Exchange {
        Exchange::new(mechanism, ChannelBindings::default(), nonce.to_owned())
    }

    /// RFC 7677 §3, user `user`, password `pencil`.
    #[test]
    fn rfc_7677_example() {
        let mut server = exchange(Mechanism::ScramSha256, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
        assert!(matches!(server.client(Some(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")), Next::Ask(Question::ScramParameters { .. })));
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let first = server.answer(Answer::ScramParameters { salt: salt.clone(), iterations: 4096 });
        let expected = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        assert_eq!(first, Next::Challenge(expected.to_vec()));
        let last = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let Next::Ask(Question::ScramProof { auth_message, client_proof, .. }) = server.client(Some(last)) else { panic!() };
        let signature = scram::verify(&scram::derive("pencil", &salt, 4096), &auth_message, &client_proof).unwrap();
        assert!(scram::verify(&scram::derive("pencils", &salt, 4096), &auth_message, &client_proof).is_none());
        let end = server.answer(Answer::ScramGranted { account: "user".into(), server_signature: signature.to_vec() });
        assert_eq!(end, Next::Challenge(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_vec()));
        assert_eq!(server.client(Some(b"")), Next::Done(Outcome::Granted { account: "user".into(), final_data: None }));
    }

    #[test]
    fn plain_rfc_4616_examples() {
        for (message, authorization) in [("\0tim\0tanstaaftanstaaf", ""), ("Ursel\0Kurt\0xipj3plmq", "Ursel")] {
            let next = exchange(Mechanism::Plain, "n").client(Some(message.as_bytes()));
            assert!(matches!(next, Next::Ask(Question::Password { authorization: a, .. }) if a == authorization));
        }
    }

    #[test]
    fn malformed_first_responses() {
        let table: [(Mechanism, &[u8]); 11] = [
            (Mechanism::Plain, b""),
            (Mechanism::Plain, b"\0tim"),
            (Mechanism::Plain, b"\0tim\0"),
            (Mechanism::Plain, b"\0\0p"),
            (Mechanism::Plain, b"\0a\0b\0c"),
            (Mechanism::Plain, b"\0a\0\xff"),
            (Mechanism::ScramSha256, b"n,,m=x,n=user,r=abc"),
            (Mechanism::ScramSha256, b"p=tls-exporter,,n=user,r=abc"),
            (Mechanism::ScramSha256Plus, b"n,,n=user,r=abc"),
            (Mechanism::ScramSha256, b"n,,n=us=er,r=abc"),
            (Mechanism::ScramSha256, b"n,,n=user,r="),
        ];
        for (mechanism, message) in table {
            assert_eq!(exchange(mechanism, "n").client(Some(message)), Next::Done(Outcome::Malformed), "{message:?}");
        }
    }

    #[test]
    fn a_downgrade_is_refused_and_a_binding_is_checked() {
        let bindings = ChannelBindings { exporter: Some(vec![7; 32]), server_end_point: None };
        let mut plain = Exchange::new(Mechanism::ScramSha256, bindings.clone(), "x".into());
        assert_eq!(plain.client(Some(b"y,,n=user,r=abc")), Next::Done(Outcome::Malformed));
        for (data, good) in [(vec![7u8; 32], true), (vec![8; 32], false)] {
            let mut server = Exchange::new(Mechanism::ScramSha256Plus, bindings.clone(), "x".into());
            server.client(Some(b"p=tls-exporter,,n=user,r=abc"));
            server.answer(Answer::ScramParameters { salt: vec![1], iterations: 4096 });
            let bound = STANDARD.encode([b"p=tls-exporter,,".as_slice(), &data].concat());
            let last = format!("c={bound},r=abcx,p={}", STANDARD.encode([0; 32]));
            assert_eq!(matches!(server.client(Some(last.as_bytes())), Next::Ask(_)), good);
        }
    }

    #[test]
    fn login_asks_twice_and_a_wrong_answer_never_grants() {
        let mut server = exchange(Mechanism::Login, "n");
        assert_eq!(server.client(None), Next::Challenge(b"Username:".to_vec()));
        assert_eq!(server.client(Some(b"alice")), Next::Challenge(b"Password:".to_vec()));
        let next = server.client(Some(b"secret"));
        assert!(matches!(next, Next::Ask(Question::Password { .. })) && !format!("{next:?}").contains("secret"));
        let wrong = Answer::ScramGranted { account: "alice".into(), server_signature: vec![] };
        assert_eq!(server.answer(wrong), Next::Done(Outcome::Unavailable));
    }
}
