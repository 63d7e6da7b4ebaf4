use super::*;

#[tokio::test]
async fn colab_login_is_used_or_explained() {
    let mut machine = Machine::new().await;
    let error = machine.error(&machine.flow("colab")).await;
    assert!(error.to_string().contains("not running in"), "{error}");
    let root = machine.home.path().display().to_string();
    machine.set("COLAB_RELEASE_TAG", "release");
    machine.set("DATALAB_ROOT", &root);
    assert_eq!(LoginMode::detect(&machine.environment), LoginMode::Colab);
    let error = machine.fails("colab", ErrorKind::LoginUnavailable).await;
    let command = error.remedy().command.as_ref().unwrap();
    assert!(command.contains("authenticate_user"), "{command}");
    let drive = machine.flow("colab").scopes(Scopes::new(["drive"]));
    assert_eq!(
        machine.error(&drive).await.kind(),
        ErrorKind::InvalidOptions
    );

    let adc = format!("{root}/content/.adc/adc.json");
    fs::create_dir_all(format!("{root}/content/.adc")).unwrap();
    let jane = machine.emulator.create_user("jane@example.com");
    fs::write(&adc, jane.authorized_user_json()).unwrap();
    let error = machine.error(&machine.flow("colab")).await;
    let command = error.remedy().command.clone().unwrap();
    let expected = format!("export GOOGLE_APPLICATION_CREDENTIALS={adc}");
    assert_eq!(command, expected);
    machine.set("GOOGLE_APPLICATION_CREDENTIALS", &adc);
    let flow = machine.flow("colab").force(true);
    let outcome = machine.run(&flow).await.unwrap();
    assert!(matches!(outcome, LoginOutcome::AlreadyLoggedIn(_)));
}
