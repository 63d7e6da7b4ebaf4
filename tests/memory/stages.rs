//! What credentials do from beginning to end, and where they end early.

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
use crate::life::{World, learn_text};

/// A part of a life, and its name.
type Stage = (&'static str, fn(&World));

pub const STAGES: [Stage; 21] = [
    ("service account", |world| {
        world.credential("service-account.json")
    }),
    ("service account with escapes", |world| {
        world.credential("escaped.json")
    }),
    ("self-signed", World::self_signed_jwt),
    ("authorized user", |world| world.credential("user.json")),
    ("Earth Engine file", |world| world.credential("ee.json")),
    ("workforce user", |world| world.credential("workforce.json")),
    ("impersonated", |world| {
        world.credential("impersonated.json")
    }),
    ("service identity", |world| world.credential("gdch.json")),
    ("subject token in a file", |world| {
        world.credential("plain.json")
    }),
    ("subject token in JSON in a file", |world| {
        world.credential("federation.json")
    }),
    ("subject token at a URL", |world| {
        world.credential("url.json")
    }),
    ("subject token of a program", |world| {
        world.credential("program.json")
    }),
    ("certificate", |world| world.credential("certificate.json")),
    ("AWS by variables", World::aws),
    ("AWS by its machine", |world| world.credential("aws.json")),
    ("metadata server", World::metadata_server),
    ("requests", World::requests),
    ("store", World::store),
    ("login by notebook", World::notebook),
    ("login on this machine", World::localhost),
    ("login of a web application", World::web),
];

/// Somebody with a browser, whose memory is not looked at.
struct Person<'a>(&'a World);

impl Terminal for Person<'_> {
    fn print(&self, _: &str) {}

    fn show_url(&self, _: &Url, _: &str) {}

    fn prompt<'a>(&'a self, _: &'a str) -> PromptFuture<'a> {
        Box::pin(async { Ok(None) })
    }
}

impl Browser for Person<'_> {
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

impl World {
    /// Read, used, asked for another token, dropped; and refused.
    fn credential(&self, file: &str) {
        self.credential_with(file, &[]);
    }

    fn credential_with(&self, file: &str, more: &[(&str, &str)]) {
        let options = self.options(self.honest, more);
        let credentials = Credentials::from_file(self.path(file), &options).unwrap();
        self.use_and_drop(credentials);
        let text = exempt(|| fs::read_to_string(self.path(file)).unwrap());
        drop(Credentials::from_json(&text, &options).unwrap());
        exempt(move || drop((text, options)));
        let options = self.options(self.refusing, more);
        let credentials = Credentials::from_file(self.path(file), &options).unwrap();
        self.refuse_and_drop(credentials);
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

    fn refuse_and_drop(&self, credentials: Credentials) {
        self.runtime.block_on(async {
            // What was kept on disk is of the other server.
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
        let options = self.options(self.honest, &[]).self_signed_jwt(true);
        let credentials =
            Credentials::from_file(self.path("service-account.json"), &options).unwrap();
        self.use_and_drop(credentials);
        exempt(move || drop(options));
    }

    fn aws(&self) {
        let (key, session) = exempt(|| (self.secret("an AWS key"), self.secret("an AWS session")));
        self.credential_with(
            "aws.json",
            &[
                ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
                ("AWS_SECRET_ACCESS_KEY", &key),
                ("AWS_SESSION_TOKEN", &session),
                ("AWS_REGION", "us-east-1"),
            ],
        );
        exempt(move || drop((key, session)));
    }

    fn metadata_server(&self) {
        let options = self.options(
            self.honest,
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

    fn client(&self, auth: Auth, refuses: bool) -> Client {
        let address = if refuses { self.refusing } else { self.honest };
        let http = HttpClient::new(Endpoints::emulator(address).unwrap());
        Client::builder(auth, http)
            .project("ee-demo-project")
            .retry_policy(RetryPolicy::none())
            .build()
            .unwrap()
    }

    /// With an API key, with a token, and with both.
    fn requests(&self) {
        let options = self.options(self.honest, &[]);
        let file = self.path("service-account.json");
        let credentials = Credentials::from_file(file, &options).unwrap();
        for refuses in [false, true] {
            let key = || SecretString::from(exempt(|| self.secret("an API key")));
            let tokens = credentials.token_cache().unwrap().clone();
            let both = Auth::token_cache(tokens.clone()).with_api_key(key());
            for auth in [Auth::api_key(key()), Auth::token_cache(tokens), both] {
                let client = self.client(auth, refuses);
                self.runtime.block_on(async {
                    let ended = client.get_json::<Value>("config").await;
                    if let Err(error) = &ended {
                        drop(format!("{error:?} {error} {:?}", error.api()));
                    }
                    // An answer of ours is a token, for want of another.
                    exempt(move || drop(ended));
                    let _ = client.batch().get("a", "config").send().await;
                });
            }
        }
        drop(credentials);
        exempt(move || drop(options));
    }

    fn store(&self) {
        let store = LoginFile::at(self.path("credentials"));
        let (token, client) = exempt(|| {
            (
                self.secret("a refresh token"),
                self.secret("a client secret"),
            )
        });
        let login = Login::new(token, Scopes::earth_engine()).client("1-a", client);
        store.save_login(&login).unwrap();
        store.set_project("ee-demo-project").unwrap();
        drop(store.read().unwrap());
        drop(login);
        let verifier = SecretString::from(exempt(|| self.secret("a code verifier")));
        store.save_code_verifier(&verifier).unwrap();
        drop((verifier, store.load_code_verifier().unwrap()));
        for address in [self.refusing, self.honest] {
            let http = exempt(|| HttpClient::new(Endpoints::emulator(address).unwrap()));
            let _ = self.runtime.block_on(store.revoke(&http));
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
        let nobody = Person(self);
        for address in [self.honest, self.refusing] {
            exempt(keep);
            let options = self.options(address, &[]);
            let flow = self.flow(&options, LoginMode::Notebook).quiet(true);
            let begun = self.runtime.block_on(flow.run(&nobody, &nobody)).unwrap();
            let LoginOutcome::AwaitingCode(begun) = begun else {
                panic!("{begun:?}");
            };
            exempt(|| {
                let verifier = begun.code_verifier.expose_secret();
                for part in verifier.split(':').skip(1) {
                    learn_text("a notebook's verifier", part);
                }
            });
            let code = self.code();
            let finish = flow.finish_notebook(&begun.code_verifier, &code);
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
            drop((verifier, code, begun, flow));
            exempt(move || drop(options));
        }
    }

    fn localhost(&self) {
        let person = Person(self);
        for address in [self.honest, self.refusing] {
            exempt(keep);
            let options = self.options(address, &[]);
            let flow = self.flow(&options, LoginMode::Localhost { port: Some(0) });
            let ended = self.runtime.block_on(flow.run(&person, &person));
            assert_eq!(ended.is_ok(), address == self.honest, "{ended:?}");
            drop((ended, flow));
            exempt(move || drop(options));
        }
    }

    fn web(&self) {
        for address in [self.honest, self.refusing] {
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
            assert_eq!(ended.is_ok(), address == self.honest, "{ended:?}");
            drop((ended, flow));
            exempt(move || drop((query, options)));
        }
    }
}
