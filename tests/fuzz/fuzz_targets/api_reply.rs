//! What Earth Engine answers to the typed calls, and places in lists that were kept.
#![no_main]

use ee_rest::{Algorithm, Asset, Operation, OperationState, Policy, Position, ProjectConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(operation) = serde_json::from_slice::<Operation>(data) {
        check_state(operation.state());
    }
    if let Ok(asset) = serde_json::from_slice::<Asset>(data) {
        assert_eq!(asset.clone(), asset);
    }
    if let Ok(config) = serde_json::from_slice::<ProjectConfig>(data) {
        assert_eq!(config.clone(), config);
    }
    let _ = serde_json::from_slice::<Algorithm>(data);
    check_written_again::<Policy>(data);
    check_written_again::<Position>(data);
});

/// A state that is not known keeps its name.
fn check_state(state: &OperationState) {
    let name = serde_json::Value::from(state.as_str());
    let again: OperationState = serde_json::from_value(name).expect("a state");
    assert_eq!(&again, state);
}

fn check_written_again<T>(data: &[u8])
where
    T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug,
{
    if let Ok(value) = serde_json::from_slice::<T>(data) {
        let written = serde_json::to_string(&value).expect("JSON");
        assert_eq!(
            serde_json::from_str::<T>(&written).expect("the same"),
            value
        );
    }
}
