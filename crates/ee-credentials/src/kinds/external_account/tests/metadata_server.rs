use super::*;

#[tokio::test]
async fn metadata_server_is_not_a_source_of_subject_tokens() {
    let machine = Machine::new().await;
    let token = "computeMetadata/v1/instance/service-accounts/default/token";
    let mut sources = Vec::new();
    for host in [
        "http://169.254.169.254",
        "https://169.254.169.254",
        "http://2852039166",
        "http://0xa9fea9fe",
        "http://0251.0376.0251.0376",
        "http://169.254.43518",
        "http://[fd00:ec2::254]",
        "https://[::ffff:169.254.169.254]",
        "https://[::ffff:a9fe:a9fe]",
        "https://[::169.254.169.254]",
        "https://[64:ff9b::169.254.169.254]",
        "https://[2002:a9fe:a9fe::1]",
        "https://[fd20:ce::254]",
        "https://metadata.google.internal",
        "https://METADATA.google.internal.",
        "https://metadata",
        "https://metadata.",
        "https://metadata.goog",
        "https://x.google.internal",
        "https://m%65tadata.google.internal",
        "https://rebound.example",
        "http://127.0.0.1:8080",
        "http://localhost:8080",
    ] {
        for path in [
            token.to_owned(),
            format!("/{token}"),
            format!("x/../{token}"),
            format!("metadata/%2e%2e/{token}"),
            token.replace("compute", "COMPUTE"),
            token.replace("compute", "%63ompute"),
            token.replace("compute", "%2563ompute"),
            token.replace("compute", "%25%36%33ompute"),
            token.replace('/', "%2f"),
            token.replace('/', "\\"),
        ] {
            sources.push(json!({ "url": format!("{host}/{path}") }));
        }
    }
    // Rejected by name or address, with any path.
    for host in [
        "metadata.google.internal",
        "Metadata.Google.Internal.",
        "metadata",
        "[fd20:ce::254]",
        "[fd20:00ce:0:0::0254]",
        "[::ffff:169.254.169.254]",
        "[::ffff:169.254.1.2]",
        "[64:ff9b::a9fe:a9fe]",
    ] {
        for path in ["", "metadata/identity", "x"] {
            sources.push(json!({ "url": format!("https://{host}/{path}") }));
        }
    }
    // Rejected by the headers that it requires, with any host and path.
    for header in [
        "Metadata-Flavor",
        "metadata-flavor",
        "METADATA-FLAVOR",
        "X-Google-Metadata-Request",
    ] {
        for url in [
            "http://169.254.169.254/",
            "http://169.254.169.254/metadata/identity",
            "http://127.0.0.1:8080/x",
            "https://rebound.example/x",
        ] {
            sources.push(json!({"url": url, "headers": {"a": "b", header: "Google"}}));
        }
    }
    for source in sources {
        // With a format that extracts the access token.
        for allowed in [None, Some("metadata.google.internal")] {
            let mut source = source.clone();
            source["format"] = json!({"type": "json", "subject_token_field_name": "access_token"});
            let mut options = machine.options();
            if let Some(host) = allowed {
                options = options.allow_host(host).allow_host("169.254.169.254");
            }
            let file = account(source.clone()).to_string();
            let error = Credentials::from_json(&file, &options).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DisallowedHost, "{source}");
            let message = error.to_string();
            assert!(
                message.contains("`url`") && message.contains("metadata server"),
                "{message}"
            );
            assert!(error.remedy().url.is_some());
        }
    }
    assert!(machine.emulator.requests().is_empty());
}

#[tokio::test]
async fn configured_metadata_server_is_not_a_source_either() {
    const HOST: &str = "GCE_METADATA_HOST";
    const IP: &str = "GCE_METADATA_IP";
    const LOCAL: &str = "127.0.0.1:8080";
    for (variable, value, url, is_rejected) in [
        (HOST, LOCAL, "http://127.0.0.1:8080/x", true),
        (HOST, LOCAL, "http://localhost:8080/x", true),
        (HOST, "localhost:8080", "http://[::1]:8080/x", true),
        ("GCE_METADATA_ROOT", "127.0.0.1", "http://127.0.0.1/x", true),
        (IP, "md.example", "https://MD.example/x", true),
        (HOST, LOCAL, "http://127.0.0.1:9090/x", false),
        (HOST, "md.example", "https://other.example/x", false),
        // Azure's metadata server has the same address.
        (
            IP,
            IMDS,
            "http://169.254.169.254/metadata/identity/oauth2/token",
            false,
        ),
    ] {
        let mut machine = Machine::new().await;
        machine.set(variable, value);
        let result = machine.load(&account(json!({ "url": url })));
        assert_eq!(result.is_err(), is_rejected, "{variable}={value}: {url}");
    }
    let machine = Machine::new().await;
    let metadata = "http://127.0.0.1:8080/base/".parse().unwrap();
    let endpoints = Endpoints::google().with_url(Endpoint::MetadataServer, metadata);
    let options =
        CredentialOptions::new(HttpClient::new(endpoints)).environment(machine.environment.clone());
    for (url, is_rejected) in [
        ("http://127.0.0.1:8080/base/x", true),
        ("http://127.0.0.1:8080/other/x", false),
    ] {
        let file = account(json!({ "url": url })).to_string();
        let result = Credentials::from_json(&file, &options);
        assert_eq!(result.is_err(), is_rejected, "{url}");
    }
}
