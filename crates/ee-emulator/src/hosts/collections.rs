//! Functions that make features, geometries, images and their collections, which have no pixels.

use serde_json::{Value, json};

use super::call::Call;

/// Returns the value of a call, or `None` if the function is not one of these.
pub(super) fn call(call: &Call<'_>) -> Option<Result<Value, String>> {
    Some(match call.name {
        "Feature" => feature(call),
        "Collection" => collection(call, "features", "Feature"),
        "ImageCollection.fromImages" => collection(call, "images", "Image"),
        "Collection.size" => members(call).map(|members| json!(members.len())),
        "Collection.first" => members(call).map(|members| members.first().cloned().into()),
        "Collection.limit" => limit(call),
        "Image.constant" => call
            .value("value")
            .map(|_| json!({"type": "Image", "bands": [{"id": "constant"}]})),
        "Image.load" => call.text("id").map(|id| json!({"type": "Image", "id": id})),
        name => match name.strip_prefix("GeometryConstructors.")? {
            "Rectangle" => rectangle(call),
            kind @ ("Point" | "MultiPoint" | "LineString" | "MultiLineString" | "Polygon"
            | "MultiPolygon") => geometry(call, kind, call.value("coordinates").cloned()),
            _ => return None,
        },
    })
}

fn feature(call: &Call<'_>) -> Result<Value, String> {
    let properties = match call.optional("metadata") {
        Some(_) => call.dictionary("metadata")?.clone(),
        None => serde_json::Map::new(),
    };
    let geometry = call.optional("geometry");
    Ok(json!({"type": "Feature", "geometry": geometry, "properties": properties}))
}

/// Makes a collection of a list, whose elements must have this type.
fn collection(call: &Call<'_>, parameter: &str, element: &str) -> Result<Value, String> {
    let elements = call.list(parameter)?;
    if elements.iter().any(|found| found["type"] != element) {
        return Err(format!(
            "{}, argument '{parameter}': Invalid type.\nExpected type: List<{element}>.",
            call.name
        ));
    }
    Ok(json!({"type": format!("{element}Collection"), "features": elements}))
}

fn members<'a>(call: &'a Call<'_>) -> Result<&'a Vec<Value>, String> {
    let collection = call.dictionary("collection")?;
    let members = collection.get("features").and_then(Value::as_array);
    members.ok_or_else(|| format!("{}: The argument is not a collection.", call.name))
}

fn limit(call: &Call<'_>) -> Result<Value, String> {
    let mut collection = call.dictionary("collection")?.clone();
    let limit = usize::try_from(call.integer("limit")?).unwrap_or(0);
    let members: Vec<Value> = members(call)?.iter().take(limit).cloned().collect();
    collection.insert("features".into(), members.into());
    Ok(collection.into())
}

fn geometry(
    call: &Call<'_>,
    kind: &str,
    coordinates: Result<Value, String>,
) -> Result<Value, String> {
    let mut geometry = json!({"type": kind, "coordinates": coordinates?});
    if let Some(geodesic) = call.optional("geodesic") {
        geometry["geodesic"] = geodesic.clone();
    }
    Ok(geometry)
}

/// Makes a polygon of two corners, or of four numbers.
fn rectangle(call: &Call<'_>) -> Result<Value, String> {
    let numbers: Vec<&Value> = call
        .list("coordinates")?
        .iter()
        .flat_map(|corner| match corner {
            Value::Array(numbers) => numbers.iter().collect(),
            number => vec![number],
        })
        .collect();
    let [west, south, east, north] = numbers.as_slice() else {
        return Err(format!("{}: Two corners are required.", call.name));
    };
    let ring = json!([[
        [west, south],
        [east, south],
        [east, north],
        [west, north],
        [west, south]
    ]]);
    geometry(call, "Polygon", Ok(ring))
}
