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
    for status in [403, 404, 405] {
        machine.emulator.fault(IMDS, Fault::status(status));
        let error = machine
            .load(&aws_account())
            .unwrap()
            .token()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Token::UnconfirmedRejection);
        assert!(
            error.to_string().contains("IMDSv2 is not enabled"),
            "{error}"
        );
        assert!(error.remedy().unwrap().text.contains("IMDSv2"));
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
