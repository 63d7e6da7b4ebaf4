//! Responses of Earth Engine to typed calls, and saved page cursors.
#![no_main]

use ee_rest::{
    Algorithm, Asset, ErrorKind, IamPolicy, Operation, OperationState, PageCursor, ProjectConfig,
};
use fuzz::{check_error, check_written_again};
use serde_json::Value;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // serde_json's own values cannot hold an infinite number.
    let parsed: Value = serde_json::from_slice(data).unwrap_or_default();
    if let Ok(operation) = serde_json::from_slice::<Operation>(data) {
        check_state(operation.state());
        if let Some(said) = parsed["metadata"]["state"].as_str() {
            assert!(said.is_empty() || operation.state().as_str() == said);
        }
        check_end(operation);
    }
    if let Ok(asset) = serde_json::from_slice::<Asset>(data) {
        assert_eq!(parsed["name"].as_str().unwrap_or_default(), asset.name);
        let others = asset.rest.iter().chain(&asset.properties);
        assert!(others.count() <= data.len());
    }
    if let Ok(config) = serde_json::from_slice::<ProjectConfig>(data)
        && parsed.is_object()
    {
        let said = |field: &str| parsed[field].as_str().unwrap_or_default().to_owned();
        assert_eq!(config.name, said("name"));
        let state = config.registration_state.as_str();
        assert!(state == said("registrationState") || state == "REGISTRATION_STATE_UNSPECIFIED");
    }
    if let Ok(algorithm) = serde_json::from_slice::<Algorithm>(data) {
        assert!(algorithm.name.ends_with(algorithm.function_name()));
    }
    if let Ok(mut policy) = serde_json::from_slice::<IamPolicy>(data) {
        // Numbers in unknown fields may change in their last digit.
        policy.rest.clear();
        for binding in &mut policy.bindings {
            binding.condition = None;
            binding.rest.clear();
        }
        check_written_again(&policy);
    }
    if let Ok(position) = serde_json::from_slice::<PageCursor>(data) {
        check_written_again(&position);
    }
});

/// An unknown state keeps its name.
fn check_state(state: &OperationState) {
    let name = Value::from(state.as_str());
    let again: OperationState = serde_json::from_value(name).expect("a state");
    assert_eq!(&again, state);
}

/// An operation is a result unless it has failed, and then its error can be shown.
fn check_end(operation: Operation) {
    let state = operation.state().clone();
    let failed = operation.error.is_some()
        || matches!(state, OperationState::Failed | OperationState::Cancelled);
    let is_bad = operation.done && failed;
    match operation.into_result() {
        Ok(_) => assert!(!is_bad),
        Err(error) => {
            assert!(is_bad && error.operation().is_some());
            assert!(
                state != OperationState::Cancelled || error.kind() == ErrorKind::OperationCancelled
            );
            check_error(&error, error.remedy());
        }
    }
}
