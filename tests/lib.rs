//! Tests that cross crates; each directory beside this file has one purpose.

/// Compiles the examples of the book and of the README files.
#[cfg(doctest)]
mod book {
    macro_rules! page {
        ($name:ident, $path:literal) => {
            #[doc = include_str!($path)]
            mod $name {}
        };
    }

    page!(readme, "../README.md");
    page!(broker_clients, "../docs/src/broker-clients.md");
    page!(calls, "../docs/src/calls.md");
    page!(api_key, "../docs/src/credentials/api-key.md");
    page!(elsewhere, "../docs/src/credentials/elsewhere.md");
    page!(
        external_account,
        "../docs/src/credentials/external-account.md"
    );
    page!(gdch, "../docs/src/credentials/gdch.md");
    page!(
        impersonated_service_account,
        "../docs/src/credentials/impersonated-service-account.md"
    );
    page!(
        metadata_server,
        "../docs/src/credentials/metadata-server.md"
    );
    page!(
        service_account,
        "../docs/src/credentials/service-account.md"
    );
    page!(settings, "../docs/src/credentials/settings.md");
    page!(doctor, "../docs/src/doctor.md");
    page!(workers, "../docs/src/deployment/workers.md");
    page!(emulator, "../docs/src/emulator.md");
    page!(errors, "../docs/src/errors.md");
    page!(from_javascript, "../docs/src/from-javascript.md");
    page!(getting_started, "../docs/src/getting-started.md");
    page!(login, "../docs/src/login.md");
    page!(project, "../docs/src/project.md");
    page!(requests, "../docs/src/requests.md");

    page!(earthengine, "../crates/earthengine/README.md");
    page!(ee_broker, "../crates/ee-broker/README.md");
    page!(ee_credentials, "../crates/ee-credentials/README.md");
    page!(ee_emulator, "../crates/ee-emulator/README.md");
    page!(ee_init, "../crates/ee-init/README.md");
    page!(ee_rest, "../crates/ee-rest/README.md");
    page!(ee_token, "../crates/ee-token/README.md");
}
