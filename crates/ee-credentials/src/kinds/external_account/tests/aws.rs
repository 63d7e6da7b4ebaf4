use ee_emulator::AwsKey;

use super::*;

#[tokio::test]
async fn aws_key_comes_from_variables_or_imdsv2() {
    let mut machine = Machine::new().await;
    machine.emulator.create_aws_provider(AUDIENCE);
    machine.emulator.run_on_ec2("a-role", "eu-west-3b");
    machine.load(&aws_account()).unwrap().token().await.unwrap();
    let requests: Vec<_> = machine
        .emulator
        .requests_to(IMDS)
        .iter()
        .map(|r| format!("{} {}", r.method, r.path))
        .collect();
    assert_eq!(
        requests,
        [
            "PUT /latest/api/token",
            "GET /latest/meta-data/placement/availability-zone",
            "GET /latest/meta-data/iam/security-credentials",
            "GET /latest/meta-data/iam/security-credentials/a-role",
        ]
    );
    machine.emulator.clear_requests();
    let key = AwsKey::temporary("ASIAX", "canary/+", "canary-session");
    machine.emulator.add_aws_key(key);
    machine.set("AWS_ACCESS_KEY_ID", "ASIAX");
    machine.set("AWS_SECRET_ACCESS_KEY", "canary/+");
    machine.set("AWS_SESSION_TOKEN", "canary-session");
    machine.set("AWS_REGION", "us-east-2");
    let credentials = machine.load(&aws_account()).unwrap();
    credentials.token().await.unwrap();
    assert!(machine.emulator.requests_to(IMDS).is_empty());
    assert!(!format!("{credentials:?}").contains("canary"));
}

#[tokio::test]
async fn aws_without_key_region_or_imdsv2_is_an_error() {
    let mut machine = Machine::new().await;
    machine.emulator.create_aws_provider(AUDIENCE);
    machine.emulator.run_on_ec2("a-role", "eu-west-3b");
    for (fault, kind, is_on_ec2) in [
        (Fault::status(401), Token::UnconfirmedRejection, true),
        (Fault::status(403), Token::UnconfirmedRejection, true),
        (Fault::status(404), Token::UnconfirmedRejection, false),
        (Fault::status(405), Token::UnconfirmedRejection, false),
        (Fault::status(503), Token::Server, false),
        (
            Fault::respond(200, "text/html", "<html>"),
            Token::UnconfirmedRejection,
            false,
        ),
    ] {
        machine.emulator.fault(IMDS, fault);
        let credentials = machine.load(&aws_account()).unwrap();
        let error = credentials.token().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let message = error.to_string();
        assert!(message.contains("started no session"), "{error}");
        let remedy = error.remedy();
        assert!(remedy.text.contains("AWS_ACCESS_KEY_ID"), "{remedy}");
        assert_eq!(remedy.command.is_some(), is_on_ec2, "{remedy}");
    }
    for region in [
        "us-east-1.evil.example/",
        "evil.example#",
        "s3",
        "s3-us-west-2",
    ] {
        machine.set("AWS_REGION", region);
        let error = machine
            .load(&aws_account())
            .unwrap()
            .token()
            .await
            .unwrap_err();
        assert!(error.to_string().contains("region"), "{error}");
    }
    machine.set("AWS_REGION", "us-east-2");
    let mut minimal = aws_account();
    for field in ["url", "region_url"] {
        minimal["credential_source"]
            .as_object_mut()
            .unwrap()
            .remove(field);
    }
    let error = machine.load(&minimal).unwrap().token().await.unwrap_err();
    assert!(
        error.to_string().contains("AWS_SECRET_ACCESS_KEY"),
        "{error}"
    );
    machine.environment = Environment::empty();
    let error = machine.load(&minimal).unwrap().token().await.unwrap_err();
    assert!(error.to_string().contains("AWS_REGION"), "{error}");
    assert!(machine.emulator.requests_to(STS).is_empty());
}
