use super::*;

#[tokio::test]
async fn certificate_is_sent_with_its_ordered_chain() {
    let mut machine = Machine::new().await;
    let provider = machine.emulator.create_x509_provider(AUDIENCE);
    let workload = provider.certificate("workload.example");
    let (leaf, issuer) = (workload.certificate_pem(), workload.issuer_pem());
    let cert_path = machine.file("leaf.pem", leaf);
    let key_path = machine.file("key.pem", workload.key_pem());
    let config = |key: &PathBuf| json!({"cert_configs": {"workload": {"cert_path": cert_path, "key_path": key}}});
    let location = machine.file("config.json", &config(&key_path).to_string());
    let load = |machine: &Machine, chain: &str| {
        let path = machine.file("chain.pem", chain);
        let mut account = account(
            json!({"certificate": {"use_default_certificate_config": true, "trust_chain_path": path}}),
        );
        account["subject_token_type"] = json!(MTLS);
        account["token_url"] = json!("https://sts.mtls.googleapis.com/v1/token");
        machine.load(&account).unwrap()
    };
    let error = load(&machine, issuer).token().await.unwrap_err();
    assert!(
        error.to_string().contains("GOOGLE_API_CERTIFICATE_CONFIG"),
        "{error}"
    );
    machine.set("GOOGLE_API_CERTIFICATE_CONFIG", location.to_str().unwrap());
    for chain in [issuer.to_owned(), format!("{leaf}{issuer}")] {
        load(&machine, &chain).token().await.unwrap();
    }
    let sent = machine.emulator.requests_to("sts.mtls.googleapis.com");
    assert_eq!(sent.len(), 2);
    assert_eq!(
        sent[0].form()["subject_token"],
        sent[1].form()["subject_token"]
    );

    let other = provider.certificate("other.example");
    for (chain, why) in [
        (format!("{issuer}{leaf}"), "top of the chain"),
        (
            format!("{leaf}{}{issuer}", other.certificate_pem()),
            "wrong order",
        ),
        ("canary".into(), "no certificate"),
        (leaf[..200].to_owned(), "truncated"),
    ] {
        let error = load(&machine, &chain).token().await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert!(error.to_string().contains("chain.pem"), "{error}");
    }
    let other_key = machine.file("other.pem", other.key_pem());
    machine.file("config.json", &config(&other_key).to_string());
    let error = load(&machine, issuer).token().await.unwrap_err();
    assert!(error.to_string().contains("other.pem"), "{error}");
    machine.file("config.json", r#"{"cert_configs": {}}"#);
    let error = load(&machine, issuer).token().await.unwrap_err();
    assert!(error.to_string().contains("`workload`"), "{error}");
    assert_eq!(
        machine
            .emulator
            .requests_to("sts.mtls.googleapis.com")
            .len(),
        2
    );
}
