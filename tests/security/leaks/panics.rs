//! A callback of the caller panics while it holds secrets. Neither the panic hook nor later errors
//! may contain one.

use std::sync::{Arc, Mutex};

use earthengine::credentials::{CredentialOptions, ExternalAccountConfig};
use earthengine::rest::{Auth, Client};
use earthengine::token::{HttpClient, SecretString, source_fn};
use earthengine::{AccessToken, Credentials, Endpoints, RetryPolicy};
use serde_json::Value;

use crate::captured_output::{CapturedOutput, start_log, with_panic_hook};
use crate::hostile_server::{Fault, FaultyHosts, HostileServer};

const AUDIENCE: &str = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/p/providers/o";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Gets a token twice. The second error is about the previous panic.
fn use_twice(output: &mut CapturedOutput, name: &str, credentials: &Credentials) -> String {
    let runtime = runtime();
    let (errors, message) = with_panic_hook(|| {
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
        output.error(name, error);
    }
    output.error(name, &at_connect);
    output.debug(name, credentials);
    message
}

#[test]
fn panics_in_caller_code_leak_nothing() {
    start_log();
    let mut output = CapturedOutput::default();
    let http = HttpClient::new(Endpoints::emulator(([127, 0, 0, 1], 9).into()).unwrap());

    for is_quoted in [false, true] {
        let name = format!("a source, {is_quoted}");
        let secret = output.canaries.plant(name.clone(), "ya29.");
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
        let message = use_twice(&mut output, &name, &Credentials::from_token_source(source));
        // The panic message belongs to the caller.
        if !is_quoted {
            assert!(message.contains("the vault is gone"), "{message}");
            output.add(format!("{name}, the hook"), message);
        }

        let name = format!("a supplier, {is_quoted}");
        let secret = output.canaries.plant(name.clone(), "");
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
        let message = use_twice(&mut output, &name, &credentials);
        if !is_quoted {
            assert!(message.contains("the token's file is gone"), "{message}");
            output.add(format!("{name}, the hook"), message);
        }
    }
    output.assert_clean();
}

#[test]
fn panics_in_event_listeners_leak_nothing() {
    start_log();
    let mut output = CapturedOutput::default();
    let runtime = runtime();
    let server = runtime.block_on(HostileServer::start(
        "a listener",
        Fault::Google(500),
        FaultyHosts::Api,
    ));
    let token = output.canaries.plant("a token", "ya29.");
    let key = output.canaries.plant("an API key", "AIza");
    let http = HttpClient::new(Endpoints::emulator(server.address).unwrap());
    let credentials = Credentials::from_token(AccessToken::new(&token).unwrap());
    let auth =
        Auth::token_cache(credentials.token_cache().unwrap().clone()).with_api_key(key.into());
    let events = Arc::new(Mutex::new(String::new()));
    let recorded = Arc::clone(&events);
    let client = Client::builder(auth, http)
        .project("ee-demo-project")
        .retry_policy(RetryPolicy::default())
        .on_event(move |event| {
            *recorded.lock().unwrap() = format!("{event:?}");
            panic!("the listener is gone: {event:?}");
        })
        .build()
        .unwrap();
    for name in ["once", "once more"] {
        let (result, message) = with_panic_hook(|| {
            runtime
                .block_on(client.get_json::<Value>("config"))
                .map(|_| ())
        });
        assert!(message.contains("the listener is gone"), "{message}");
        output.add(format!("{name}, the hook"), message);
        match result {
            Ok(result) => output.error(name, &result.unwrap_err()),
            // It belongs to the listener.
            Err(panic) => output.add(name, panic.downcast_ref::<String>().unwrap().as_str()),
        }
        output.debug(name, &client);
    }
    output.add("an event", events.lock().unwrap().as_str());
    output.canaries.extend(server.canaries());
    output.assert_clean();
}
