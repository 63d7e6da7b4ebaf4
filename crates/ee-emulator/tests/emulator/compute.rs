//! Evaluation of expressions.

use std::time::Duration;

use ee_emulator::Emulator;
use serde_json::{Value, json};

use crate::client::*;

async fn post(body: &Value) -> Response {
    let emulator = Emulator::start().await.unwrap();
    let hour = Duration::from_secs(3600);
    emulator.create_service_account(ROBOT, PROJECT);
    let bearer = emulator.issue_token(ROBOT, &["earthengine"], hour);
    let url = format!(
        "{}/v1/projects/{PROJECT}/value:compute",
        emulator.url(EARTHENGINE)
    );
    send(client().post(url).bearer_auth(bearer).json(body)).await
}

/// Evaluates an expression that consists of one node.
async fn evaluate(node: Value) -> Response {
    post(&json!({"expression": {"result": "0", "values": {"0": node}}})).await
}

fn call(name: &str, arguments: Value) -> Value {
    let arguments: serde_json::Map<String, Value> = arguments
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), json!({"constantValue": value})))
        .collect();
    json!({"functionInvocationValue": {"functionName": name, "arguments": arguments}})
}

#[tokio::test]
async fn constants_and_collections_evaluate_to_themselves() {
    for (node, result) in [
        (json!({"constantValue": 3}), json!(3)),
        (json!({"constantValue": null}), json!(null)),
        (
            json!({"constantValue": {"a": [1, "x"]}}),
            json!({"a": [1, "x"]}),
        ),
        (
            json!({"integerValue": "9007199254740993"}),
            json!(9_007_199_254_740_993_i64),
        ),
        (
            json!({"arrayValue": {"values": [{"constantValue": 1}, {"constantValue": "a"}]}}),
            json!([1, "a"]),
        ),
        (
            json!({"dictionaryValue": {"values": {"k": {"constantValue": true}}}}),
            json!({"k": true}),
        ),
    ] {
        let response = evaluate(node.clone()).await;
        assert_eq!(response.status, 200, "{node}");
        assert_eq!(response.json(), json!({"result": result}), "{node}");
    }
}

#[tokio::test]
async fn functions_return_expected_values() {
    for (name, arguments, result) in [
        ("Number.add", json!({"left": 1, "right": 2}), json!(3)),
        (
            "Number.subtract",
            json!({"left": 1, "right": 2.5}),
            json!(-1.5),
        ),
        ("Number.multiply", json!({"left": 4, "right": 2}), json!(8)),
        ("Number.divide", json!({"left": 1, "right": 4}), json!(0.25)),
        ("Number.divide", json!({"left": 8, "right": 4}), json!(2)),
        (
            "Number.divide",
            json!({"left": 1, "right": 0}),
            json!("Infinity"),
        ),
        ("Number.mod", json!({"left": 7, "right": 0}), json!("NaN")),
        ("Number.pow", json!({"left": 2, "right": 10}), json!(1024)),
        ("Number.sqrt", json!({"input": 9}), json!(3)),
        ("Number.gt", json!({"left": 2, "right": 1}), json!(1)),
        (
            "String.cat",
            json!({"string1": "a", "string2": "b"}),
            json!("ab"),
        ),
        ("String.length", json!({"string": "Zürich"}), json!(6)),
        (
            "List.get",
            json!({"list": [1, 2, 3], "index": -1}),
            json!(3),
        ),
        (
            "List.sequence",
            json!({"start": 1, "end": 2, "step": 0.5}),
            json!([1, 1.5, 2]),
        ),
        ("List.sequence", json!({"start": 3, "end": 1}), json!([])),
        (
            "Dictionary.get",
            json!({"dictionary": {"a": 1}, "key": "a"}),
            json!(1),
        ),
        (
            "If",
            json!({"condition": 0, "trueCase": 1, "falseCase": 2}),
            json!(2),
        ),
        ("ObjectType", json!({"value": [1]}), json!("List")),
    ] {
        let response = evaluate(call(name, arguments)).await;
        assert_eq!(response.json()["result"], result, "{name}: {response:?}");
    }
}

#[tokio::test]
#[rustfmt::skip]
async fn features_images_and_geometries_are_made() {
    let point = json!({"type": "Point", "coordinates": [8, 47]});
    let feature = json!({"type": "Feature", "geometry": point, "properties": {"n": 1}});
    let image = json!({"type": "Image", "id": "a"});
    let features = json!({"type": "FeatureCollection", "features": [feature, feature]});
    let ring = json!([[[8, 47], [9, 47], [9, 48], [8, 48], [8, 47]]]);
    for (function, arguments, result) in [
        ("GeometryConstructors.Point", json!({"coordinates": [8, 47]}), Ok(point.clone())),
        ("GeometryConstructors.Rectangle", json!({"coordinates": [[8, 47], [9, 48]], "geodesic": false}), Ok(json!({"type": "Polygon", "coordinates": ring, "geodesic": false}))),
        ("GeometryConstructors.Rectangle", json!({"coordinates": [8, 47, 9, 48]}), Ok(json!({"type": "Polygon", "coordinates": ring}))),
        ("GeometryConstructors.Rectangle", json!({"coordinates": [8, 47]}), Err("Two corners")),
        ("Feature", json!({"geometry": point, "metadata": {"n": 1}}), Ok(feature.clone())),
        ("Feature", json!({}), Ok(json!({"type": "Feature", "geometry": null, "properties": {}}))),
        ("Collection", json!({"features": [feature, feature]}), Ok(features.clone())),
        ("Collection", json!({"features": [image]}), Err("List<Feature>")),
        ("Collection.size", json!({"collection": features}), Ok(json!(2))),
        ("Collection.first", json!({"collection": features}), Ok(feature.clone())),
        ("Collection.limit", json!({"collection": features, "limit": 1}), Ok(json!({"type": "FeatureCollection", "features": [feature]}))),
        ("Collection.size", json!({"collection": {}}), Err("not a collection")),
        ("Image.load", json!({"id": "a"}), Ok(image.clone())),
        ("Image.constant", json!({"value": 1}), Ok(json!({"type": "Image", "bands": [{"id": "constant"}]}))),
        ("ImageCollection.fromImages", json!({"images": [image]}), Ok(json!({"type": "ImageCollection", "features": [image]}))),
    ] {
        let response = evaluate(call(function, arguments.clone())).await;
        match result {
            Ok(value) => assert_eq!(response.json()["result"], value, "{function} {arguments}"),
            Err(message) => assert!(response.text.contains(message), "{function} {arguments}: {}", response.text),
        }
    }
}

#[tokio::test]
async fn references_and_mapped_functions_are_evaluated() {
    let expression = json!({
        "result": "4",
        "values": {
            "0": {"constantValue": 10},
            "1": {"functionInvocationValue": {
                "functionName": "Number.multiply",
                "arguments": {
                    "left": {"argumentReference": "x"},
                    "right": {"valueReference": "0"},
                },
            }},
            "2": {"functionDefinitionValue": {"argumentNames": ["x"], "body": "1"}},
            "3": {"constantValue": [1, 2, 3]},
            "4": {"functionInvocationValue": {
                "functionName": "List.map",
                "arguments": {
                    "list": {"valueReference": "3"},
                    "baseAlgorithm": {"valueReference": "2"},
                },
            }},
        },
    });
    let response = post(&json!({"expression": expression})).await;
    assert_eq!(
        response.json()["result"],
        json!([10, 20, 30]),
        "{response:?}"
    );
}

#[tokio::test]
async fn invalid_calls_are_invalid_arguments() {
    for (node, sentence) in [
        (
            call("Nothing.here", json!({})),
            "'Nothing.here' is not a known function.",
        ),
        (
            call("Number.add", json!({"left": 1})),
            "Number.add: Parameter 'right' is required and may not be null.",
        ),
        (
            call("Number.add", json!({"left": 1, "right": "x"})),
            "Number.add, argument 'right': Invalid type.\nExpected type: Number.",
        ),
        (
            call("List.get", json!({"list": [], "index": 0})),
            "out of bounds",
        ),
        (
            call("List.repeat", json!({"value": 0, "count": 1_000_000_000})),
            "too long",
        ),
        (json!({"valueReference": "0"}), "refers to itself"),
        (json!({"valueReference": "9"}), "node '9' not found"),
        (
            json!({"argumentReference": "x"}),
            "argument 'x' is not defined",
        ),
        (json!({}), "exactly one kind"),
        (
            json!({"constantValue": 1, "valueReference": "0"}),
            "(oneof)",
        ),
        (json!({"mysteryValue": 1}), "Unknown name \"mysteryValue\""),
    ] {
        let response = evaluate(node.clone()).await;
        assert_eq!(response.status, 400, "{node}");
        assert_eq!(response.json()["error"]["status"], "INVALID_ARGUMENT");
        assert!(
            response.message().contains(sentence),
            "{}",
            response.message()
        );
    }
}

#[tokio::test]
async fn unknown_fields_are_field_violations() {
    let node = json!({"constantValue": 1, "x": 2});
    let expression = json!({"result": "0", "values": {"0": node}});
    let response = post(&json!({"expression": expression, "y": 3})).await;
    assert_eq!(response.status, 400);
    let nested = "Invalid JSON payload received. Unknown name \"x\" at \
                  'expression.values[0].value': Cannot find field.";
    let own = "Invalid JSON payload received. Unknown name \"y\": Cannot find field.";
    assert_eq!(response.message(), format!("{nested}\n{own}"));
    assert_eq!(
        response.json()["error"]["details"],
        json!([{
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [
                {"field": "expression.values[0].value", "description": nested},
                {"description": own},
            ],
        }])
    );
}

#[tokio::test]
async fn invalid_bodies_are_rejected() {
    let fine = json!({"result": "0", "values": {"0": {"constantValue": 1}}});
    for (body, status) in [
        (json!([]), 400),
        (json!({}), 400),
        (json!({"expression": 1}), 400),
        (json!({"expression": {"result": "0"}}), 400),
        (json!({"expression": fine, "surprise": 1}), 400),
        (
            json!({"expression": fine, "workloadTag": "a-good_tag1"}),
            200,
        ),
        (
            json!({"expression": fine, "workloadTag": "a".repeat(63)}),
            200,
        ),
        (
            json!({"expression": fine, "workloadTag": "a".repeat(64)}),
            400,
        ),
        (json!({"expression": fine, "workloadTag": "Bad"}), 400),
        (json!({"expression": fine, "workloadTag": "-bad"}), 400),
        (json!({"expression": fine, "workloadTag": 1}), 400),
    ] {
        assert_eq!(post(&body).await.status, status, "{body}");
    }
}

/// Each node refers twice to the previous one: 2ⁿ paths, n nodes.
async fn pyramid(levels: u32) -> Response {
    let mut values = json!({"0": {"constantValue": 1}});
    for level in 1..=levels {
        let before = json!({"valueReference": (level - 1).to_string()});
        values[level.to_string()] = json!({"functionInvocationValue": {
            "functionName": "Number.max",
            "arguments": {"left": before, "right": before},
        }});
    }
    post(&json!({"expression": {"result": levels.to_string(), "values": values}})).await
}

#[tokio::test]
async fn shared_node_is_computed_once() {
    let response = pyramid(120).await;
    assert_eq!(response.json()["result"], 1, "{response:?}");
}

#[tokio::test]
async fn deeply_nested_expressions_are_rejected() {
    let response = pyramid(10_000).await;
    assert_eq!(response.status, 400);
    assert!(
        response.message().contains("nested too deeply"),
        "{}",
        response.message()
    );
}
