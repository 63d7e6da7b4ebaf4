//! Logins in a browser, by notebook and in a web application, with malformed responses of the hosts
//! and unexpected redirects of the browser.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use earthengine::credentials::CredentialOptions;
use earthengine::credentials::login::{
    Browser, LoginFlow, LoginMode, LoginOutcome, PendingLogin, PromptFuture, Terminal, WebFlow,
};
use earthengine::token::HttpClient;
use earthengine::{Endpoints, Environment};
use ee_test_support::canaries::Canaries;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use url::Url;

use crate::captured_output::{CapturedOutput, start_log};
use crate::hostile_server::{FAULTS, FaultyHosts, HostileServer};

const CLIENT: &str = "1-web.apps.googleusercontent.com";
const CALLBACK: &str = "https://app.example.com/callback";

fn http(address: SocketAddr) -> HttpClient {
    HttpClient::new(Endpoints::emulator(address).unwrap())
}

/// Adds the secrets of a pending login, and returns its state.
fn add_secrets(canaries: &mut Canaries, name: &str, pending: &PendingLogin) -> String {
    let fields = serde_json::to_value(pending).unwrap();
    for field in ["state", "verifier"] {
        canaries.add(
            format!("{name}: the {field}"),
            fields[field].as_str().unwrap(),
        );
    }
    fields["state"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn web_login_leaks_nothing_from_any_response() {
    start_log();
    let mut output = CapturedOutput::default();
    for fault in FAULTS {
        let name = format!("web login, {fault:?}");
        let server = HostileServer::start(&name, fault, FaultyHosts::Everywhere).await;
        let secret = output
            .canaries
            .plant(format!("{name}: the client secret"), "GOCSPX-");
        let options = CredentialOptions::new(http(server.address));
        let flow = WebFlow::new(CLIENT, secret, CALLBACK, options).unwrap();
        let (_, pending) = flow.begin().unwrap();
        let state = add_secrets(&mut output.canaries, &name, &pending);
        let code = output
            .canaries
            .plant_word(format!("{name}: the code"), "4/0");
        output.debug(&name, &(&flow, &pending));
        let query = format!("state={state}&code={code}");
        output.result_and_panic(&name, flow.finish(pending, &query).await);
        output.canaries.extend(server.canaries());
    }
    assert!(output.failures > 14, "{} failures", output.failures);
    output.assert_clean();
}

#[tokio::test]
async fn web_login_leaks_nothing_from_any_query() {
    start_log();
    let mut output = CapturedOutput::default();
    let name = "web login's query";
    let server = HostileServer::start(name, FAULTS[0], FaultyHosts::Api).await;
    let secret = output
        .canaries
        .plant(format!("{name}: the client secret"), "GOCSPX-");
    let flow = WebFlow::new(
        CLIENT,
        secret,
        CALLBACK,
        CredentialOptions::new(http(server.address)),
    )
    .unwrap();
    let code = output
        .canaries
        .plant_word(format!("{name}: the code"), "4/0");
    let other = output
        .canaries
        .plant_word(format!("{name}: another's state"), "");
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
    for (number, query) in queries.iter().enumerate() {
        let (_, pending) = flow.begin().unwrap();
        let state = add_secrets(&mut output.canaries, &format!("{name} {number}"), &pending);
        output.result_and_panic(name, flow.finish(pending, &query(&state)).await);
    }
    assert!(output.failures > 4, "{} failures", output.failures);
    output.canaries.extend(server.canaries());
    output.assert_clean();
}

/// The requests of a browser to the redirect address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Visit {
    Valid,
    WrongState,
    NoCode,
    CodeTwice,
    Huge,
    NoHttp,
}

/// A user whose browser sends these requests, and who enters a code at the prompt.
struct TestUser {
    visit: Visit,
    code: String,
    state: Arc<Mutex<Option<String>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Terminal for TestUser {
    fn print(&self, _: &str) {}

    fn show_url(&self, _: &Url, _: &str) {}

    fn prompt<'a>(&'a self, _: &'a str) -> PromptFuture<'a> {
        Box::pin(async { Ok(Some(self.code.as_str().into())) })
    }
}

impl Browser for TestUser {
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
        let valid = get(format!("state={state}&code={code}"));
        let request = match self {
            Self::Valid => valid.clone(),
            Self::WrongState => get(format!("state={code}&code={code}")),
            Self::NoCode => get(format!("state={state}")),
            Self::CodeTwice => get(format!("state={state}&code={code}&code={code}x")),
            Self::Huge => get(format!("state={state}&code={}", code.repeat(4_000))),
            Self::NoHttp => format!("{code} {state}\r\n\r\n"),
        };
        // The login may end with the first request and not respond to the second.
        for request in [request, valid] {
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await {
                let _ = stream.write_all(request.as_bytes()).await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        }
    }
}

#[tokio::test]
async fn localhost_login_leaks_nothing() {
    start_log();
    let mut output = CapturedOutput::default();
    let visits = [
        Visit::WrongState,
        Visit::NoCode,
        Visit::CodeTwice,
        Visit::Huge,
        Visit::NoHttp,
    ];
    let cases = visits.iter().map(|visit| (*visit, FAULTS[0]));
    let cases = cases.chain(FAULTS.iter().map(|fault| (Visit::Valid, *fault)));
    for (number, (visit, fault)) in cases.enumerate() {
        for mode in [LoginMode::Localhost { port: None }, LoginMode::Notebook] {
            let name = format!("login {number} by {}, {visit:?}, {fault:?}", mode.name());
            let server = HostileServer::start(&name, fault, FaultyHosts::Everywhere).await;
            let user = TestUser {
                visit,
                code: output
                    .canaries
                    .plant_word(format!("{name}: the code"), "4/0"),
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
            output.debug(&name, &flow);
            output.result(&name, flow.run(&user, &user).await);
            if let Some(task) = user.task.lock().unwrap().take() {
                task.abort();
            }
            if let Some(state) = user.state.lock().unwrap().take() {
                output.canaries.add(format!("{name}: the state"), &state);
            }
            output.canaries.extend(server.canaries());
        }
    }
    assert!(output.failures > 30, "{} failures", output.failures);
    output.assert_clean();
}

#[tokio::test]
async fn notebook_login_keeps_its_verifier_secret() {
    start_log();
    let mut output = CapturedOutput::default();
    for fault in FAULTS {
        let name = format!("login in two steps, {fault:?}");
        let server = HostileServer::start(&name, fault, FaultyHosts::Everywhere).await;
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::empty()
            .with_home(home.path())
            .with_var("NO_GCE_CHECK", "true");
        let flow = LoginFlow::new(environment, http(server.address))
            .mode(LoginMode::Notebook)
            .force(true)
            .quiet(true);
        let user = TestUser {
            visit: Visit::Valid,
            code: String::new(),
            state: Arc::default(),
            task: Mutex::default(),
        };
        let outcome = flow.run(&user, &user).await.unwrap();
        let LoginOutcome::AwaitingCode(pending) = &outcome else {
            panic!("{outcome:?}");
        };
        // The ID in front is in the URL of the page.
        let verifiers = pending.code_verifier.expose_secret().split(':').skip(1);
        for (part, field) in verifiers.zip(["token", "client"]) {
            output
                .canaries
                .add(format!("{name}: the {field}'s verifier"), part);
        }
        output.debug(&name, &outcome);
        let code = output
            .canaries
            .plant_word(format!("{name}: the code"), "4/0");
        let finished = flow
            .finish_notebook(&pending.code_verifier, &code.as_str().into())
            .await;
        output.result_and_panic(&name, finished);
        output.canaries.extend(server.canaries());
    }
    assert!(output.len() > 60, "{}", output.len());
    output.assert_clean();
}
