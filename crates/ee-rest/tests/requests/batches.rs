//! Batches as the server reads them.

use proptest::collection::btree_map;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::Setup;

#[test]
fn batch_calls_round_trip_for_any_id_and_body() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let setup = runtime.block_on(Setup::new());
    let client = setup.client().build().unwrap();
    // Any valid ID; line breaks, dashes and all scripts in the bodies.
    let calls = btree_map("[!-;=?-~]{1,40}", "[-\\PC\r\n\u{0}]{0,60}", 1..6);
    let mut runner = TestRunner::new(Config::with_cases(64));
    let result = runner.run(&calls, |calls| {
        let batch = calls.iter().fold(client.batch(), |batch, (id, text)| {
            let constant = json!({"result": "0", "values": {"0": {"constantValue": text}}});
            batch.post(id, "value:compute", &json!({"expression": constant}))
        });
        let response = runtime.block_on(batch.send()).unwrap();
        for (id, text) in &calls {
            assert_eq!(response.json::<Value>(id).unwrap(), json!({"result": text}));
        }
        Ok(())
    });
    result.unwrap();
}
