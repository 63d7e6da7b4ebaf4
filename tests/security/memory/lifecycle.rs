//! The lifecycle of credentials, and how it ends with errors.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use earthengine::credentials::login::{
    Browser, LoginFlow, LoginMode, LoginOutcome, PromptFuture, Terminal, Url, WebFlow,
};
use earthengine::credentials::{CredentialOptions, Login, LoginFile, Search};
use earthengine::rest::{Auth, Client};
use earthengine::token::HttpClient;
use earthengine::{Credentials, Endpoints, Environment, RetryPolicy, Scopes, SecretString};
use serde_json::Value;

use crate::allocator::{exempt, keep};
use crate::fixtures::{Fixture, learn_text};

/// A part of the lifecycle, with its name.
type Stage = (&'static str, fn(&Fixture));

pub const STAGES: [Stage; 23] = [
    ("service account", |fixture| {
        fixture.credential("service-account.json")
    }),
    ("service account with escapes", |fixture| {
        fixture.credential("escaped.json")
    }),
    ("self-signed", Fixture::self_signed_jwt),
    ("authorized user", |fixture| fixture.credential("user.json")),
    ("Earth Engine file", |fixture| fixture.credential("ee.json")),
    ("workforce user", |fixture| {
        fixture.credential("workforce.json")
    }),
    ("impersonated", |fixture| {
        fixture.credential("impersonated.json")
    }),
    ("service identity", |fixture| {
        fixture.credential("gdch.json")
    }),
    ("subject token in a file", |fixture| {
        fixture.credential("plain.json")
    }),
    ("subject token in JSON in a file", |fixture| {
        fixture.credential("federation.json")
    }),
    ("subject token at a URL", |fixture| {
        fixture.credential("url.json")
    }),
    ("subject token of a program", |fixture| {
        fixture.credential("program.json")
    }),
    ("certificate", |fixture| {
        fixture.credential("certificate.json")
    }),
    ("AWS by variables", Fixture::aws),
    ("AWS by its machine", |fixture| {
        fixture.credential("aws.json")
    }),
    ("AWS by its container", |fixture| {
        let token = exempt(|| fixture.secret("an AWS container token"));
        fixture.aws_with(&[
            ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/c"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", &token),
        ]);
        exempt(move || drop(token));
    }),
    ("AWS by a web identity", |fixture| {
        let path = exempt(|| fixture.path("subject.txt").display().to_string());
        fixture.aws_with(&[
            ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", &path),
        ]);
    }),
    ("metadata server", Fixture::metadata_server),
    ("requests", Fixture::requests),
    ("store", Fixture::login_file),
    ("login by notebook", Fixture::notebook),
    ("login on this machine", Fixture::localhost),
    ("login of a web application", Fixture::web),
];

/// A user with a browser, whose memory is not inspected.
struct TestBrowser<'a>(&'a Fixture);

impl Terminal for TestBrowser<'_> {
    fn print(&self, _: &str) {}

    fn show_url(&self, _: &Url, _: &str) {}

    fn prompt<'a>(&'a self, _: &'a str) -> PromptFuture<'a> {
        Box::pin(async { Ok(None) })
    }
}

impl Browser for TestBrowser<'_> {
    fn is_available(&self) -> bool {
        true
    }

    fn open(&self, url: &Url) -> bool {
        exempt(|| {
            let query = |wanted: &str| {
                let mut pairs = url.query_pairs();
                pairs
                    .find(|(name, _)| name == wanted)
                    .unwrap()
                    .1
                    .into_owned()
            };
            let back = Url::parse(&query("redirect_uri")).unwrap();
            let (port, state) = (back.port().unwrap(), query("state"));
            let code = self.0.secret("an authorization code");
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let line = format!("GET /?state={state}&code={code} HTTP/1.1");
                write!(stream, "{line}\r\nHost: localhost:{port}\r\n\r\n").unwrap();
                let _ = stream.read_to_end(&mut Vec::new());
            });
        });
        true
    }
}

impl Fixture {
    /// Reads a credential, uses it, fetches another token, and drops it; then the same with errors.
    fn credential(&self, file: &str) {
        self.credential_with(file, &[]);
    }

    fn credential_with(&self, file: &str, more: &[(&str, &str)]) {
        let options = self.options(self.working, more);
        let credentials = Credentials::from_file(self.path(file), &options).unwrap();
        self.use_and_drop(credentials);
        let text = exempt(|| fs::read_to_string(self.path(file)).unwrap());
        drop(Credentials::from_json(&text, &options).unwrap());
        exempt(move || drop((text, options)));
        let options = self.options(self.failing, more);
        let credentials = Credentials::from_file(self.path(file), &options).unwrap();
        self.fail_and_drop(credentials);
        exempt(move || drop(options));
    }

    fn use_and_drop(&self, credentials: Credentials) {
        self.runtime.block_on(async {
            let token = credentials.token().await.unwrap();
            credentials.token_cache().unwrap().invalidate(&token);
            drop(token);
            let _ = credentials.token().await.unwrap();
            drop(credentials);
        });
    }

    fn fail_and_drop(&self, credentials: Credentials) {
        self.runtime.block_on(async {
            // The token on disk is that of the other server.
            if let Ok(token) = credentials.token().await {
                credentials.token_cache().unwrap().invalidate(&token);
                drop(token);
            }
            let error = credentials.token().await.unwrap_err();
            drop(format!("{error:?} {error} {:?}", error.remedy()));
            drop((error, credentials));
        });
    }

    fn self_signed_jwt(&self) {
        let options = self.options(self.working, &[]).self_signed_jwt(true);
        let credentials =
            Credentials::from_file(self.path("service-account.json"), &options).unwrap();
        self.use_and_drop(credentials);
        exempt(move || drop(options));
    }

    fn aws(&self) {
        let (key, session) = exempt(|| (self.secret("an AWS key"), self.secret("an AWS session")));
        self.aws_with(&[
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", &key),
            ("AWS_SESSION_TOKEN", &session),
        ]);
        exempt(move || drop((key, session)));
    }

    fn aws_with(&self, variables: &[(&str, &str)]) {
        self.credential_with(
            "aws.json",
            &[variables, &[("AWS_REGION", "us-east-1")]].concat(),
        );
    }

    fn metadata_server(&self) {
        let options = self.options(
            self.working,
            &[
                ("GCE_METADATA_HOST", "metadata.google.internal"),
                ("GCE_METADATA_TIMEOUT", "1"),
            ],
        );
        let environment = exempt(|| options.current_environment());
        let search = Search::new(environment, options);
        let found = self.runtime.block_on(search.find()).unwrap();
        self.use_and_drop(found.credentials);
    }

    fn client(&self, auth: Auth, fails: bool) -> Client {
        let address = if fails { self.failing } else { self.working };
        let http = HttpClient::new(Endpoints::emulator(address).unwrap());
        Client::builder(auth, http)
            .project("ee-demo-project")
            .retry_policy(RetryPolicy::none())
            .build()
            .unwrap()
    }

    /// Sends requests with an API key, with a token, and with both.
    fn requests(&self) {
        let options = self.options(self.working, &[]);
        let file = self.path("service-account.json");
        let credentials = Credentials::from_file(file, &options).unwrap();
        for fails in [false, true] {
            let key = || SecretString::from(exempt(|| self.secret("an API key")));
            let tokens = credentials.token_cache().unwrap().clone();
            let both = Auth::token_cache(tokens.clone()).with_api_key(key());
            for auth in [Auth::api_key(key()), Auth::token_cache(tokens), both] {
                let client = self.client(auth, fails);
                self.runtime.block_on(async {
                    let ended = client.get_json::<Value>("config").await;
                    if let Err(error) = &ended {
                        drop(format!("{error:?} {error} {:?}", error.api()));
                    }
                    // The caller owns the response.
                    exempt(move || drop(ended));
                    let _ = client.batch().get("a", "config").send().await;
                });
            }
        }
        drop(credentials);
        exempt(move || drop(options));
    }

    fn login_file(&self) {
        let login_file = LoginFile::at(self.path("credentials"));
        let (token, client) = exempt(|| {
            (
                self.secret("a refresh token"),
                self.secret("a client secret"),
            )
        });
        let login = Login::new(token, Scopes::earth_engine()).client("1-a", client);
        login_file.save_login(&login).unwrap();
        login_file.set_project("ee-demo-project").unwrap();
        drop(login_file.read().unwrap());
        drop(login);
        let verifier = SecretString::from(exempt(|| self.secret("a code verifier")));
        login_file.save_code_verifier(&verifier).unwrap();
        drop((verifier, login_file.load_code_verifier().unwrap()));
        for address in [self.failing, self.working] {
            let http = exempt(|| HttpClient::new(Endpoints::emulator(address).unwrap()));
            let _ = self.runtime.block_on(login_file.revoke(&http));
        }
    }

    fn flow(&self, options: &CredentialOptions, mode: LoginMode) -> LoginFlow {
        let environment = exempt(|| Environment::empty().with_home(self.path("home")));
        LoginFlow::new(environment, options.http_client().clone())
            .mode(mode)
            .force(true)
    }

    fn code(&self) -> SecretString {
        exempt(|| self.secret("an authorization code")).into()
    }

    fn notebook(&self) {
        let browser = TestBrowser(self);
        for address in [self.working, self.failing] {
            exempt(keep);
            let options = self.options(address, &[]);
            let flow = self.flow(&options, LoginMode::Notebook).quiet(true);
            let pending = self.runtime.block_on(flow.run(&browser, &browser)).unwrap();
            let LoginOutcome::AwaitingCode(pending) = pending else {
                panic!("{pending:?}");
            };
            exempt(|| {
                let verifier = pending.code_verifier.expose_secret();
                for part in verifier.split(':').skip(1) {
                    learn_text("a notebook's verifier", part);
                }
            });
            let code = self.code();
            let finish = flow.finish_notebook(&pending.code_verifier, &code);
            drop(self.runtime.block_on(finish));
            // As the Python client prints one.
            let verifier = exempt(|| {
                let text = format!("request:{0}:{0}", self.secret("a code verifier"));
                SecretString::from(text)
            });
            drop(
                self.runtime
                    .block_on(flow.finish_notebook(&verifier, &code)),
            );
            drop((verifier, code, pending, flow));
            exempt(move || drop(options));
        }
    }

    fn localhost(&self) {
        let browser = TestBrowser(self);
        for address in [self.working, self.failing] {
            exempt(keep);
            let options = self.options(address, &[]);
            let flow = self.flow(&options, LoginMode::Localhost { port: Some(0) });
            let ended = self.runtime.block_on(flow.run(&browser, &browser));
            assert_eq!(ended.is_ok(), address == self.working, "{ended:?}");
            drop((ended, flow));
            exempt(move || drop(options));
        }
    }

    fn web(&self) {
        for address in [self.working, self.failing] {
            let options = self.options(address, &[]);
            let client = exempt(|| self.secret("a client secret"));
            let callback = "https://app.example.com/callback";
            let flow = WebFlow::new("1-a", client, callback, options.clone()).unwrap();
            let (_, pending) = flow.begin().unwrap();
            let query = exempt(|| {
                let code = self.secret("an authorization code");
                format!("state={}&code={code}", pending.state())
            });
            let ended = self.runtime.block_on(async {
                let login = flow.finish(pending, &query).await?;
                drop(login.credentials.token().await.unwrap());
                Ok::<_, earthengine::credentials::Error>(login)
            });
            assert_eq!(ended.is_ok(), address == self.working, "{ended:?}");
            drop((ended, flow));
            exempt(move || drop((query, options)));
        }
    }
}
