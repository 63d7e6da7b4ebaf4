//! The projection, scale and region of an exported image. The API has no fields for them: as in
//! Google's clients, calls around the expression of the image set them.

use ee_token::internal::Quoted;
use serde_json::{Map, Value, json};

use crate::Error;

/// The projection, scale and region of an image.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extent {
    pub(crate) crs: Option<String>,
    /// In meters per pixel.
    pub(crate) scale: Option<f64>,
    /// The geometry, as a node of an expression.
    pub(crate) region: Option<Value>,
}

impl Extent {
    pub(crate) fn is_empty(&self) -> bool {
        self.crs.is_none() && self.scale.is_none() && self.region.is_none()
    }

    /// Wraps the expression of an image in the calls that set the extent.
    pub(crate) fn apply(&self, expression: &mut Value) -> Result<(), Error> {
        if let Some(crs) = &self.crs {
            let arguments = json!({
                "crs": projection(crs),
                // One unit per pixel, from north to south, until a scale is set.
                "crsTransform": constant([1, 0, 0, 0, -1, 0]),
            });
            wrap(expression, "Image.setDefaultProjection", "image", arguments)?;
        }
        let mut arguments = Map::new();
        if let Some(region) = &self.region {
            arguments.insert("geometry".into(), region.clone());
        }
        let function = match self.scale {
            Some(scale) => {
                arguments.insert("scale".into(), constant(scale));
                "Image.clipToBoundsAndScale"
            }
            None if arguments.is_empty() => return Ok(()),
            None => "Image.clip",
        };
        wrap(expression, function, "input", arguments.into())
    }
}

/// Makes the result of an expression the argument `input` of a call, whose value is the new result.
fn wrap(
    expression: &mut Value,
    function: &str,
    input: &str,
    mut arguments: Value,
) -> Result<(), Error> {
    let result = expression.get("result").and_then(Value::as_str);
    let result = result.map(str::to_owned);
    let values = expression.get_mut("values").and_then(Value::as_object_mut);
    let (Some(result), Some(values)) = (result, values) else {
        return Err(Error::invalid_request(
            "the expression of the export has no `result` or no `values`",
            "Pass an expression such as {\"result\": \"0\", \"values\": {\"0\": …}}.",
        ));
    };
    arguments[input] = json!({"valueReference": result});
    let mut number = values.len();
    while values.contains_key(&number.to_string()) {
        number += 1;
    }
    values.insert(number.to_string(), call(function, arguments));
    expression["result"] = number.to_string().into();
    Ok(())
}

fn call(function: &str, arguments: Value) -> Value {
    json!({"functionInvocationValue": {"functionName": function, "arguments": arguments}})
}

fn constant(value: impl Into<Value>) -> Value {
    let value = value.into();
    json!({"constantValue": value})
}

fn projection(crs: &str) -> Value {
    call("Projection", json!({"crs": constant(crs)}))
}

/// Returns the node of a GeoJSON geometry, whose edges are straight lines in its projection.
pub(crate) fn geometry(geo_json: &Value) -> Result<Value, Error> {
    let invalid = |why: &str| {
        Error::invalid_request(
            format!("the region of the export is not a GeoJSON geometry: {why}"),
            "Use a geometry such as {\"type\": \"Polygon\", \"coordinates\": [[[8, 47], [9, 47], [9, 48], [8, 47]]]}.",
        )
    };
    let kind = geo_json["type"].as_str().unwrap_or_default();
    let mut arguments = json!({});
    match kind {
        "Point" | "MultiPoint" => {}
        "LineString" | "MultiLineString" | "Polygon" | "MultiPolygon" => {
            arguments["geodesic"] = constant(false);
        }
        other => return Err(invalid(&format!("its type is {}", Quoted(other)))),
    }
    let Some(coordinates) = geo_json["coordinates"].as_array() else {
        return Err(invalid("it has no coordinates"));
    };
    arguments["coordinates"] = constant(coordinates.clone());
    match &geo_json["crs"] {
        Value::Null => {}
        crs => match crs["properties"]["name"].as_str() {
            Some(name) => arguments["crs"] = projection(name),
            None => return Err(invalid("its projection has no name")),
        },
    }
    Ok(call(&format!("GeometryConstructors.{kind}"), arguments))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    const SQUARE: &str =
        r#"{"type": "Polygon", "coordinates": [[[8, 47], [9, 47], [9, 48], [8, 48], [8, 47]]]}"#;

    fn image() -> Value {
        json!({"result": "0", "values": {"0": {"constantValue": 1}, "2": {"constantValue": 2}}})
    }

    fn applied(extent: &Extent) -> Value {
        let mut expression = image();
        extent.apply(&mut expression).unwrap();
        expression
    }

    #[test]
    fn empty_extent_changes_nothing() {
        assert_eq!(applied(&Extent::default()), image());
    }

    #[test]
    fn calls_are_those_of_the_python_client() {
        let square: Value = serde_json::from_str(SQUARE).unwrap();
        let region = geometry(&square).unwrap();
        assert_eq!(
            region,
            json!({"functionInvocationValue": {
                "functionName": "GeometryConstructors.Polygon",
                "arguments": {
                    "coordinates": {"constantValue": square["coordinates"]},
                    "geodesic": {"constantValue": false},
                },
            }})
        );
        let crs = Some("EPSG:4326".to_owned());
        let expression = applied(&Extent {
            crs,
            scale: Some(30.0),
            region: Some(region.clone()),
        });
        // The new keys differ from those of the image.
        assert_eq!(expression["result"], "4");
        let call = |key: &str| &expression["values"][key]["functionInvocationValue"];
        assert_eq!(call("3")["functionName"], "Image.setDefaultProjection");
        assert_eq!(
            call("3")["arguments"],
            json!({
                "image": {"valueReference": "0"},
                "crs": {"functionInvocationValue": {
                    "functionName": "Projection",
                    "arguments": {"crs": {"constantValue": "EPSG:4326"}},
                }},
                "crsTransform": {"constantValue": [1, 0, 0, 0, -1, 0]},
            })
        );
        assert_eq!(call("4")["functionName"], "Image.clipToBoundsAndScale");
        assert_eq!(
            call("4")["arguments"],
            json!({
                "input": {"valueReference": "3"},
                "geometry": region,
                "scale": {"constantValue": 30.0},
            })
        );
        // A region alone is clipped, in the image's own scale.
        let clipped = applied(&Extent {
            region: Some(region),
            ..Extent::default()
        });
        let call = &clipped["values"]["3"]["functionInvocationValue"];
        assert_eq!(call["functionName"], "Image.clip");
        assert_eq!(call["arguments"]["input"], json!({"valueReference": "0"}));
    }

    #[test]
    fn geometry_keeps_its_projection() {
        let point = geometry(&json!({
            "type": "Point",
            "coordinates": [2_600_000, 1_200_000],
            "crs": {"type": "name", "properties": {"name": "EPSG:2056"}},
        }));
        let call = &point.unwrap()["functionInvocationValue"];
        assert_eq!(call["arguments"]["crs"], projection("EPSG:2056"));
        assert!(call["arguments"].get("geodesic").is_none());
    }

    #[test]
    fn other_regions_and_expressions_are_rejected() {
        for region in [
            json!(null),
            json!([8, 47, 9, 48]),
            json!({"type": "Feature", "geometry": null}),
            json!({"type": "Polygon"}),
            json!({"type": "Point", "coordinates": [8, 47], "crs": "EPSG:2056"}),
        ] {
            let error = geometry(&region).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{region}");
            assert!(!error.remedy().text.is_empty());
        }
        let extent = Extent {
            scale: Some(30.0),
            ..Extent::default()
        };
        for mut expression in [json!({}), json!("text"), json!({"result": "0"})] {
            let error = extent.apply(&mut expression).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{expression}");
        }
    }
}
