//! Logins in a browser, by notebook and in a web application, while the hosts that they end at
//! answer as they should not, and while what comes from the browser is not what was asked for.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use earthengine::credentials::CredentialOptions;
use earthengine::credentials::login::{
    Browser, LoginFlow, LoginMode, LoginOutcome, PendingLogin, PromptFuture, Terminal, WebFlow,
};
use earthengine::token::HttpClient;
use earthengine::{Endpoints, Environment};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use url::Url;

use crate::canary::Canaries;
use crate::hostile::{FAULTS, Hostile, Where};
use crate::sinks::{Sinks, assert_log_clean, panic_text, start_log};

const CLIENT: &str = "1-web.apps.googleusercontent.com";
const CALLBACK: &str = "https://app.example.com/callback";

fn http(address: SocketAddr) -> HttpClient {
    HttpClient::new(Endpoints::emulator(address).unwrap())
}

/// Remembers the secrets of a login that waits for its answer, and gives its state.
fn remember(canaries: &mut Canaries, name: &str, pending: &PendingLogin) -> String {
    let kept = serde_json::to_value(pending).unwrap();
    for field in ["state", "verifier"] {
        canaries.add(
            format!("{name}: the {field}"),
            kept[field].as_str().unwrap(),
        );
    }
    kept["state"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn no_secret_is_in_what_a_web_login_says_of_any_answer() {
    start_log();
    let (mut sinks, mut canaries, mut failures) = (Sinks::default(), Canaries::default(), 0);
    for fault in FAULTS {
        let name = format!("web login, {fault:?}");
        let server = Hostile::start(&name, fault, Where::Everywhere).await;
        let secret = canaries.plant(format!("{name}: the client secret"), "GOCSPX-");
        let options = CredentialOptions::new(http(server.address));
        let flow = WebFlow::new(CLIENT, secret, CALLBACK, options).unwrap();
        let (_, pending) = flow.begin().unwrap();
        let state = remember(&mut canaries, &name, &pending);
        let code = canaries.plant_word(format!("{name}: the code"), "4/0");
        sinks.debug(&name, &(&flow, &pending));
        match flow
            .finish(pending, &format!("state={state}&code={code}"))
            .await
        {
            Ok(login) => sinks.debug(&name, &login),
            Err(error) => {
                failures += 1;
                sinks.error(&name, &error);
                sinks.add(&name, format!("{:?}", error.remedy()));
                sinks.add(&name, panic_text(|| panic!("{error:?}: {error}")));
            }
        }
        canaries.extend(server.canaries());
    }
    assert!(failures > 14, "{failures} failures");
    sinks.assert_clean(&canaries, &[]);
    assert_log_clean(&canaries);
}

#[tokio::test]
async fn no_secret_is_in_what_a_web_login_says_of_any_query() {
    start_log();
    let (mut sinks, mut canaries) = (Sinks::default(), Canaries::default());
    let name = "web login's query";
    let server = Hostile::start(name, FAULTS[0], Where::Api).await;
    let secret = canaries.plant(format!("{name}: the client secret"), "GOCSPX-");
    let flow = WebFlow::new(
        CLIENT,
        secret,
        CALLBACK,
        CredentialOptions::new(http(server.address)),
    )
    .unwrap();
    let code = canaries.plant_word(format!("{name}: the code"), "4/0");
    let other = canaries.plant_word(format!("{name}: another's state"), "");
    let long = code.repeat(2_000);
    type Query<'a> = Box<dyn Fn(&str) -> String + 'a>;
    let queries: [Query<'_>; 7] = [
        Box::new(|_| format!("state={other}&code={code}")),
        Box::new(|_| format!("code={code}")),
        Box::new(|state| format!("state={state}")),
        Box::new(|state| format!("state={state}&code={code}&code={code}x")),
        Box::new(|state| format!("state={state}&error={code}&error_description={code}")),
        Box::new(|state| format!("state={state}&state={other}&code={long}")),
        Box::new(|state| format!("{code} {state}\r\n%zz=%")),
    ];
    let mut failures = 0;
    for query in queries {
        let (_, pending) = flow.begin().unwrap();
        let state = remember(&mut canaries, &format!("{name} {failures}"), &pending);
        match flow.finish(pending, &query(&state)).await {
            Ok(login) => sinks.debug(name, &login),
            Err(error) => {
                failures += 1;
                sinks.error(name, &error);
                sinks.add(name, panic_text(|| panic!("{error:?}: {error}")));
            }
        }
    }
    assert!(failures > 4, "{failures} failures");
    canaries.extend(server.canaries());
    sinks.assert_clean(&canaries, &[]);
    assert_log_clean(&canaries);
}

/// What a browser brings to the address that the login listens at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Visit {
    Right,
    WrongState,
    NoCode,
    CodeTwice,
    Huge,
    NoHttp,
}

/// Somebody whose browser does as it likes, and who enters a code when asked.
struct Person {
    visit: Visit,
    code: String,
    state: Arc<Mutex<Option<String>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Terminal for Person {
    fn print(&self, _: &str) {}

    fn show_url(&self, _: &Url, _: &str) {}

    fn prompt<'a>(&'a self, _: &'a str) -> PromptFuture<'a> {
        Box::pin(async { Ok(Some(self.code.as_str().into())) })
    }
}

impl Browser for Person {
    fn is_available(&self) -> bool {
        true
    }

    fn open(&self, url: &Url) -> bool {
        let query = |wanted: &str| {
            let found = url.query_pairs().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.into_owned())
        };
        let (Some(back), Some(state)) = (query("redirect_uri"), query("state")) else {
            return true;
        };
        let (visit, code) = (self.visit, self.code.clone());
        *self.state.lock().unwrap() = Some(state.clone());
        let visit = tokio::spawn(async move { visit.make(&back, &state, &code).await });
        *self.task.lock().unwrap() = Some(visit);
        true
    }
}

impl Visit {
    async fn make(self, back: &str, state: &str, code: &str) {
        let port = Url::parse(back).unwrap().port().unwrap();
        let get =
            |query: String| format!("GET /?{query} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
        let right = get(format!("state={state}&code={code}"));
        let said = match self {
            Self::Right => right.clone(),
            Self::WrongState => get(format!("state={code}&code={code}")),
            Self::NoCode => get(format!("state={state}")),
            Self::CodeTwice => get(format!("state={state}&code={code}&code={code}x")),
            Self::Huge => get(format!("state={state}&code={}", code.repeat(4_000))),
            Self::NoHttp => format!("{code} {state}\r\n\r\n"),
        };
        // The login may end with the first of them: then nobody answers the second.
        for said in [said, right] {
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await {
                let _ = stream.write_all(said.as_bytes()).await;
                let mut answer = Vec::new();
                let _ = stream.read_to_end(&mut answer).await;
            }
        }
    }
}

#[tokio::test]
async fn no_secret_is_in_what_a_login_on_this_machine_says_of_any_browser_and_any_answer() {
    start_log();
    let (mut sinks, mut canaries, mut failures) = (Sinks::default(), Canaries::default(), 0);
    let visits = [
        Visit::WrongState,
        Visit::NoCode,
        Visit::CodeTwice,
        Visit::Huge,
        Visit::NoHttp,
    ];
    let cases = visits.iter().map(|visit| (*visit, FAULTS[0]));
    let cases = cases.chain(FAULTS.iter().map(|fault| (Visit::Right, *fault)));
    for (number, (visit, fault)) in cases.enumerate() {
        for mode in [LoginMode::Localhost { port: None }, LoginMode::Notebook] {
            let name = format!("login {number} by {}, {visit:?}, {fault:?}", mode.name());
            let server = Hostile::start(&name, fault, Where::Everywhere).await;
            let person = Person {
                visit,
                code: canaries.plant_word(format!("{name}: the code"), "4/0"),
                state: Arc::default(),
                task: Mutex::default(),
            };
            let home = tempfile::tempdir().unwrap();
            let environment = Environment::empty()
                .with_home(home.path())
                .with_var("NO_GCE_CHECK", "true");
            let flow = LoginFlow::new(environment, http(server.address))
                .mode(mode)
                .force(true)
                .timeout(Duration::from_secs(60));
            sinks.debug(&name, &flow);
            match flow.run(&person, &person).await {
                Ok(outcome) => sinks.debug(&name, &outcome),
                Err(error) => {
                    failures += 1;
                    sinks.error(&name, &error);
                    sinks.add(&name, format!("{:?}", error.remedy()));
                }
            }
            if let Some(task) = person.task.lock().unwrap().take() {
                task.abort();
            }
            if let Some(state) = person.state.lock().unwrap().take() {
                canaries.add(format!("{name}: the state"), &state);
            }
            canaries.extend(server.canaries());
        }
    }
    assert!(failures > 30, "{failures} failures");
    sinks.assert_clean(&canaries, &[]);
    assert_log_clean(&canaries);
}

#[tokio::test]
async fn a_login_in_two_steps_shows_its_verifier_to_nobody() {
    start_log();
    let (mut sinks, mut canaries) = (Sinks::default(), Canaries::default());
    for fault in FAULTS {
        let name = format!("login in two steps, {fault:?}");
        let server = Hostile::start(&name, fault, Where::Everywhere).await;
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::empty()
            .with_home(home.path())
            .with_var("NO_GCE_CHECK", "true");
        let flow = LoginFlow::new(environment, http(server.address))
            .mode(LoginMode::Notebook)
            .force(true)
            .quiet(true);
        let person = Person {
            visit: Visit::Right,
            code: String::new(),
            state: Arc::default(),
            task: Mutex::default(),
        };
        let outcome = flow.run(&person, &person).await.unwrap();
        let LoginOutcome::AwaitingCode(begun) = &outcome else {
            panic!("{outcome:?}");
        };
        {
            for (part, what) in begun
                .code_verifier
                .expose_secret()
                .split(':')
                .zip(["id", "token", "client"])
            {
                // The id is in the page's address.
                if what != "id" {
                    canaries.add(format!("{name}: the {what}'s verifier"), part);
                }
            }
        }
        sinks.debug(&name, &outcome);
        let code = canaries.plant_word(format!("{name}: the code"), "4/0");
        let ended = flow
            .finish_notebook(&begun.code_verifier, &code.as_str().into())
            .await;
        if let Err(error) = ended {
            sinks.error(&name, &error);
            sinks.add(&name, panic_text(|| panic!("{error:?}: {error}")));
        }
        canaries.extend(server.canaries());
    }
    assert!(sinks.len() > 60, "{}", sinks.len());
    sinks.assert_clean(&canaries, &[]);
    assert_log_clean(&canaries);
}
