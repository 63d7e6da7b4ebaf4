//! What a program gives us panics while it holds secrets: neither the hook nor whoever asks next
//! is told one.

use std::sync::{Arc, Mutex};

use earthengine::credentials::{CredentialOptions, ExternalAccountConfig};
use earthengine::rest::{Auth, Client};
use earthengine::token::{HttpClient, SecretString, source_fn};
use earthengine::{AccessToken, Credentials, Endpoints, RetryPolicy};
use serde_json::Value;

use crate::canary::Canaries;
use crate::hostile::{Fault, Hostile, Where};
use crate::sinks::{Sinks, assert_log_clean, hooked, start_log};

const AUDIENCE: &str = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/p/providers/o";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Asks twice: the second is told of the panic before.
fn ask(sinks: &mut Sinks, name: &str, credentials: &Credentials) -> String {
    let runtime = runtime();
    let (errors, told) = hooked(|| {
        let errors = [(); 2].map(|()| runtime.block_on(credentials.token()).unwrap_err());
        let connected = earthengine::EarthEngine::builder()
            .isolated()
            .credentials(credentials.clone())
            .project("ee-demo-project")
            .retry_policy(RetryPolicy::none());
        (errors, runtime.block_on(connected.connect()).unwrap_err())
    });
    let (errors, at_connect) = errors.unwrap();
    for error in &errors {
        assert!(error.to_string().contains("panicked"), "{error}");
        sinks.error(name, error);
    }
    sinks.error(name, &at_connect);
    sinks.debug(name, credentials);
    told
}

#[test]
fn no_secret_is_in_what_is_said_of_a_panic_in_what_a_program_gives() {
    start_log();
    let (mut sinks, mut canaries) = (Sinks::default(), Canaries::default());
    let http = HttpClient::new(Endpoints::emulator(([127, 0, 0, 1], 9).into()).unwrap());

    for is_quoted in [false, true] {
        let name = format!("a source, {is_quoted}");
        let secret = canaries.plant(name.clone(), "ya29.");
        let source = source_fn(move || {
            let token = AccessToken::new(&secret);
            let quoted = secret.clone();
            async move {
                assert!(!is_quoted, "cannot use {quoted}");
                token
                    .unwrap()
                    .scopes()
                    .map(|_| ())
                    .expect("the vault is gone");
                AccessToken::new("never")
            }
        });
        let told = ask(&mut sinks, &name, &Credentials::from_token_source(source));
        // The program's own words are the program's.
        if !is_quoted {
            assert!(told.contains("the vault is gone"), "{told}");
            sinks.add(format!("{name}, the hook"), told);
        }

        let name = format!("a supplier, {is_quoted}");
        let secret = canaries.plant(name.clone(), "");
        let account =
            ExternalAccountConfig::new(AUDIENCE, JWT).oauth_client("1-a", secret.as_str());
        let supply = move || {
            let subject = SecretString::from(secret.as_str());
            let quoted = secret.clone();
            async move {
                assert!(!is_quoted, "cannot use {quoted}");
                AccessToken::new("")
                    .map(|_| ())
                    .expect("the token's file is gone");
                Ok(subject)
            }
        };
        let options = CredentialOptions::new(http.clone());
        let credentials = Credentials::from_subject_token(account, supply, &options).unwrap();
        let told = ask(&mut sinks, &name, &credentials);
        if !is_quoted {
            assert!(told.contains("the token's file is gone"), "{told}");
            sinks.add(format!("{name}, the hook"), told);
        }
    }
    sinks.assert_clean(&canaries, &[]);
    assert_log_clean(&canaries);
}

#[test]
fn no_secret_is_in_what_is_said_of_a_panic_in_a_listener() {
    start_log();
    let (mut sinks, mut canaries) = (Sinks::default(), Canaries::default());
    let runtime = runtime();
    let server = runtime.block_on(Hostile::start("a listener", Fault::Google(500), Where::Api));
    let token = canaries.plant("a token", "ya29.");
    let key = canaries.plant("an API key", "AIza");
    let http = HttpClient::new(Endpoints::emulator(server.address).unwrap());
    let credentials = Credentials::from_token(AccessToken::new(&token).unwrap());
    let auth =
        Auth::token_cache(credentials.token_cache().unwrap().clone()).with_api_key(key.into());
    let heard = Arc::new(Mutex::new(String::new()));
    let hearing = Arc::clone(&heard);
    let client = Client::builder(auth, http)
        .project("ee-demo-project")
        .retry_policy(RetryPolicy::default())
        .on_event(move |signal| {
            *hearing.lock().unwrap() = format!("{signal:?}");
            panic!("the listener is gone: {signal:?}");
        })
        .build()
        .unwrap();
    for name in ["once", "once more"] {
        let (ended, told) = hooked(|| {
            runtime
                .block_on(client.get_json::<Value>("config"))
                .map(|_| ())
        });
        assert!(told.contains("the listener is gone"), "{told}");
        sinks.add(format!("{name}, the hook"), told);
        match ended {
            Ok(ended) => sinks.error(name, &ended.unwrap_err()),
            // It is the listener's own.
            Err(panic) => sinks.add(name, panic.downcast_ref::<String>().unwrap().as_str()),
        }
        sinks.debug(name, &client);
    }
    sinks.add("a signal", heard.lock().unwrap().as_str());
    canaries.extend(server.canaries());
    sinks.assert_clean(&canaries, &[]);
    assert_log_clean(&canaries);
}
