//! Logins of every sort with hosts and browsers that lie: the code, the verifiers, the state, the
//! client's secret and the tokens stay out of errors, `Debug`, what a person is told, and the log.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use earthengine::credentials::login::{
    Browser, Flow, Line, Mode, NotebookLogin, Outcome, Terminal, Url, WebFlow,
};
use earthengine::credentials::{Options, Os};
use earthengine::token::{ExposeSecret as _, HttpClient};
use earthengine::{Endpoints, Environment};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use url::form_urlencoded;

use crate::canary::{Canaries, Leak};
use crate::hostile::{FAULTS, Fault, Hostile, Where};
use crate::sinks::{Sinks, assert_none, log_text, panic_text, start_log};

/// What comes to the loopback socket before the answer that belongs there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Visit {
    Nothing,
    OtherState,
    ErrorThatEchoes,
    NoHttp,
    Huge,
    Post,
    CodeTwice,
}

const VISITS: [Visit; 7] = [
    Visit::Nothing,
    Visit::OtherState,
    Visit::ErrorThatEchoes,
    Visit::NoHttp,
    Visit::Huge,
    Visit::Post,
    Visit::CodeTwice,
];

/// A person with a browser, who brings a code back.
struct Person {
    code: String,
    visit: Visit,
    /// What was shown and told, and what the pages at the end said.
    sinks: Arc<Mutex<Sinks>>,
    /// The `state` of the page that was opened, which nobody else should know.
    state: Mutex<Option<String>>,
}

impl Person {
    fn learn(&self, page: &Url) {
        let state = page.query_pairs().find(|(name, _)| name == "state");
        *self.state.lock().unwrap() = state.map(|(_, state)| state.into_owned());
    }
}

impl Terminal for Person {
    fn tell(&self, text: &str) {
        self.sinks.lock().unwrap().add("what is told", text);
    }

    // The address has the state, and must be shown.
    fn show_page(&self, url: &Url, advice: &str) {
        self.learn(url);
        self.tell(advice);
    }

    fn ask<'a>(&'a self, prompt: &'a str) -> Line<'a> {
        self.tell(prompt);
        Box::pin(async { Ok(Some(format!(" {}\n", self.code).into())) })
    }
}

impl Browser for Person {
    fn is_there(&self) -> bool {
        true
    }

    fn open(&self, url: &Url) -> bool {
        self.learn(url);
        let back = url.query_pairs().find(|(name, _)| name == "redirect_uri");
        if let Some(back) = back.and_then(|(_, back)| Url::parse(&back).ok()) {
            let state = self.state.lock().unwrap().clone().unwrap_or_default();
            let sinks = Arc::clone(&self.sinks);
            tokio::spawn(visit(back, state, self.code.clone(), self.visit, sinks));
        }
        true
    }
}

/// Says this to the loopback socket, and returns what it says.
async fn say(back: &Url, bytes: &[u8]) -> String {
    let address = ("127.0.0.1", back.port().unwrap());
    let Ok(mut stream) = TcpStream::connect(address).await else {
        return String::new();
    };
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn visit(back: Url, state: String, code: String, visit: Visit, sinks: Arc<Mutex<Sinks>>) {
    let host = format!("localhost:{}", back.port().unwrap());
    let get = |query: &str| {
        format!(
            "GET {}?{query} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
            back.path()
        )
    };
    let encoded = |pairs: &[(&str, &str)]| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(pairs).finish()
    };
    let whole = encoded(&[("state", &state), ("code", &code)]);
    let first = match visit {
        Visit::Nothing => None,
        Visit::OtherState => Some(get(&encoded(&[("state", "guessed"), ("code", &code)]))),
        Visit::ErrorThatEchoes => {
            let why = format!("no {code} for {state}");
            Some(get(&encoded(&[
                ("state", &state),
                ("error", &why),
                ("error_description", &why),
            ])))
        }
        Visit::NoHttp => Some(format!("{whole}\r\n\r\n")),
        Visit::Huge => Some(get(&format!("{whole}&x={}", "y".repeat(100_000)))),
        Visit::Post => Some(format!(
            "POST {0}?{whole} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {1}\r\n\r\n{whole}",
            back.path(),
            whole.len()
        )),
        Visit::CodeTwice => Some(get(&format!("{whole}&code={code}x"))),
    };
    for request in first.into_iter().chain([get(&whole)]) {
        let page = say(&back, request.as_bytes()).await;
        sinks.lock().unwrap().add("the browser's page", page);
    }
}

/// What one login showed, and what must not be in it.
struct Case {
    sinks: Sinks,
    canaries: Canaries,
    failed: bool,
}

impl Case {
    fn new() -> Self {
        Self {
            sinks: Sinks::default(),
            canaries: Canaries::default(),
            failed: false,
        }
    }

    fn error(&mut self, sink: &str, error: &earthengine::credentials::Error) {
        self.failed = true;
        self.sinks.error(sink, error);
        self.sinks.add(sink, format!("{:?}", error.remedy()));
        self.sinks
            .add(sink, panic_text(|| panic!("{error:?}: {error}")));
    }

    fn leaks(&self) -> Vec<(String, Leak)> {
        self.sinks.leaks(&self.canaries, &[])
    }
}

fn http(server: &Hostile) -> HttpClient {
    HttpClient::new(Endpoints::emulator(server.address).unwrap()).unwrap()
}

fn flow(server: &Hostile, home: &Path, mode: Mode) -> Flow {
    let environment = Environment::empty()
        .with_os(Os::Linux)
        .with_home(home)
        .with_var("NO_GCE_CHECK", "true");
    Flow::new(environment, http(server))
        .mode(mode)
        .force(true)
        .timeout(Duration::from_secs(20))
}

async fn person_case(mode: Mode, fault: Fault, place: Where, visit: Visit) -> Case {
    let name = format!("{}, {fault:?} {place:?} {visit:?}", mode.name());
    let (mut case, home) = (Case::new(), tempfile::tempdir().unwrap());
    let server = Hostile::start(&name, fault, place).await;
    let person = Person {
        code: case.canaries.plant(format!("{name}: the code"), "4/0A"),
        visit,
        sinks: Arc::default(),
        state: Mutex::default(),
    };
    let flow = flow(&server, home.path(), mode);
    case.sinks.debug(&name, &flow);
    match flow.run(&person, &person).await {
        Ok(outcome) => case.sinks.debug(&name, &outcome),
        Err(error) => case.error(&name, &error),
    }
    if let Some(state) = person.state.lock().unwrap().take()
        && state.len() >= 24
    {
        case.canaries.add(format!("{name}: the state"), &state);
    }
    case.sinks
        .extend(std::mem::take(&mut person.sinks.lock().unwrap()));
    case.canaries.extend(server.canaries());
    case
}

/// The two steps of a login by notebook, and a verifier that was cut on the way.
async fn notebook_case(fault: Fault, place: Where) -> Case {
    let name = format!("notebook in two steps, {fault:?} {place:?}");
    let (mut case, home) = (Case::new(), tempfile::tempdir().unwrap());
    let server = Hostile::start(&name, fault, place).await;
    let person = Person {
        code: case.canaries.plant(format!("{name}: the code"), "4/0A"),
        visit: Visit::Nothing,
        sinks: Arc::default(),
        state: Mutex::default(),
    };
    let flow = flow(&server, home.path(), Mode::Notebook).quiet(true);
    let Ok(Outcome::Begun(login)) = flow.run(&person, &person).await else {
        panic!("{name}: it did not begin");
    };
    let NotebookLogin { code_verifier, .. } = &login;
    for (number, part) in code_verifier.expose_secret().split(':').enumerate() {
        // The first is the request's id, and is in the page's address.
        if number > 0 {
            case.canaries
                .add(format!("{name}: part {number} of the verifier"), part);
        }
    }
    case.sinks.add(&name, format!("{:?}", login.code_verifier));
    let code = person.code.as_str().into();
    let cut = code_verifier.expose_secret().replacen(':', "::", 1).into();
    for verifier in [code_verifier, &cut] {
        match flow.finish_notebook(verifier, &code).await {
            Ok(saved) => case.sinks.debug(&name, &saved),
            Err(error) => case.error(&name, &error),
        }
    }
    case.canaries.extend(server.canaries());
    case
}

/// A login into a web application, with answers that came back by a browser.
async fn web_case(fault: Fault, place: Where) -> Case {
    let name = format!("web application, {fault:?} {place:?}");
    let mut case = Case::new();
    let server = Hostile::start(&name, fault, place).await;
    let code = case.canaries.plant(format!("{name}: the code"), "4/0A");
    let secret = case
        .canaries
        .plant(format!("{name}: the client's secret"), "GOCSPX-");
    let back = "https://app.example.com/callback";
    let flow = WebFlow::new("1-app", secret, back, Options::new(http(&server))).unwrap();
    case.sinks.debug(&name, &flow);
    let encoded = form_urlencoded::byte_serialize(code.as_bytes()).collect::<String>();
    for query in [
        "state=STATE&code=CODE",
        "?state=STATE&code=CODE",
        "state=guessed&code=CODE",
        "code=CODE",
        "state=STATE&code=CODE&code=CODE",
        "state=STATE&error=CODE&error_description=no+CODE+for+STATE",
        "state=STATE",
        "CODE STATE",
    ] {
        let (_, pending) = flow.begin().unwrap();
        let state = pending.state().to_owned();
        case.canaries.add(format!("{name}: the state"), &state);
        case.sinks.debug(&name, &pending);
        let session = serde_json::to_value(&pending).unwrap();
        let verifier = session["verifier"].as_str().unwrap();
        case.canaries.add(format!("{name}: the verifier"), verifier);
        let query = query.replace("STATE", &state).replace("CODE", &encoded);
        match flow.finish(pending, &query).await {
            Ok(login) => {
                case.sinks.debug(&name, &login);
                case.sinks.debug(&name, &login.credentials.token().await);
            }
            Err(error) => case.error(&name, &error),
        }
        // Each login has its own.
        let leaks = case.leaks();
        assert_none(&leaks);
    }
    case.canaries.extend(server.canaries());
    case
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_of_a_login_is_in_what_anybody_is_shown() {
    start_log();
    let mut running = JoinSet::new();
    let localhost = Mode::Localhost { port: Some(0) };
    for fault in FAULTS {
        // At whoever is asked first, and at the token's host behind an honest first.
        for place in [Where::Everywhere, Where::Token] {
            running.spawn(person_case(localhost, fault, place, Visit::Nothing));
            running.spawn(person_case(Mode::Notebook, fault, place, Visit::Nothing));
            running.spawn(notebook_case(fault, place));
            running.spawn(web_case(fault, place));
        }
    }
    for visit in VISITS {
        running.spawn(person_case(
            localhost,
            Fault::InvalidGrant,
            Where::Api,
            visit,
        ));
    }
    let (mut leaks, mut failures, mut successes) = (Vec::new(), 0, 0);
    let mut canaries = Canaries::default();
    while let Some(case) = running.join_next().await {
        let case = case.unwrap();
        leaks.extend(case.leaks());
        match case.failed {
            true => failures += 1,
            false => successes += 1,
        }
        canaries.extend(case.canaries);
    }
    assert!(failures > 100, "{failures} failures: where are the faults?");
    assert!(successes > 3, "{successes} logins succeeded");
    for leak in canaries.finder_of_every(8).find(&log_text()) {
        leaks.push(("the log".to_owned(), leak));
    }
    assert_none(&leaks);
}
