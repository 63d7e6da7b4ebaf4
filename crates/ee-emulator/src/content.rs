//! Earth Engine's own data: assets, operations, maps, thumbnails and tables.

use std::collections::{BTreeMap, HashMap, VecDeque};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::response::Response;

/// The project of the public catalog, which is read-only.
pub(crate) const PUBLIC: &str = "projects/earthengine-public/assets/";

/// A snapshot of a long-running operation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EmulatedOperation {
    /// `projects/P/operations/ID`.
    pub name: String,
    /// `EXPORT_IMAGE`, ….
    pub kind: String,
    /// `PENDING`, `RUNNING`, `CANCELLING`, `SUCCEEDED`, `CANCELLED` or `FAILED`.
    pub state: String,
    /// The `requestId` that makes repeated requests idempotent.
    pub request_id: Option<String>,
}

#[derive(Default)]
pub(crate) struct Content {
    /// By name.
    pub(crate) assets: BTreeMap<String, StoredAsset>,
    /// Oldest first.
    pub(crate) operations: Vec<StoredOperation>,
    /// By name: a map's tile, a thumbnail, or a table's file.
    pub(crate) files: HashMap<String, Response>,
    /// By project id: the maximum number of concurrent exports.
    pub(crate) limits: HashMap<String, u32>,
    /// By project id: the registration, if a client has changed it.
    pub(crate) registrations: HashMap<String, Map<String, Value>>,
    /// The failure messages of the next operations.
    pub(crate) failures: VecDeque<String>,
    /// Whether running operations never finish.
    pub(crate) hanging: bool,
}

/// An asset: its fields in the API, without the name.
#[derive(Clone)]
pub(crate) struct StoredAsset {
    pub(crate) fields: Map<String, Value>,
    /// The features of a table.
    pub(crate) features: Vec<Value>,
    pub(crate) bindings: Value,
    /// The other fields of the IAM policy: the version of its format, for example.
    pub(crate) policy: Map<String, Value>,
    /// Incremented with each change of the IAM policy.
    pub(crate) etag: u64,
}

impl StoredAsset {
    pub(crate) fn new(kind: &str, now: DateTime<Utc>) -> Self {
        let mut fields = Map::new();
        fields.insert("type".into(), json!(kind));
        fields.insert("updateTime".into(), json!(rfc3339(now)));
        Self {
            fields,
            features: Vec::new(),
            bindings: json!([]),
            policy: Map::new(),
            etag: 1,
        }
    }

    pub(crate) fn kind(&self) -> &str {
        self.fields
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Returns its JSON form in the API.
    pub(crate) fn describe(&self, name: &str) -> Value {
        let mut fields = self.fields.clone();
        fields.insert("name".into(), json!(name));
        let id = [PUBLIC, "projects/earthengine-legacy/assets/"]
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix))
            .unwrap_or(name);
        fields.insert("id".into(), json!(id));
        Value::Object(fields)
    }
}

pub(crate) struct StoredOperation {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) description: String,
    pub(crate) request_id: Option<String>,
    pub(crate) priority: i64,
    pub(crate) state: &'static str,
    /// The message with which it will fail.
    pub(crate) failure: Option<String>,
    /// The name and type of the asset that it creates.
    pub(crate) makes: Option<(String, &'static str)>,
    pub(crate) created: DateTime<Utc>,
    pub(crate) updated: DateTime<Utc>,
}

impl StoredOperation {
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, "SUCCEEDED" | "CANCELLED" | "FAILED")
    }

    /// Advances by one state. Called for each request about the operation.
    pub(crate) fn advance(&mut self, hanging: bool, now: DateTime<Utc>) {
        let next = match self.state {
            "PENDING" => "RUNNING",
            "RUNNING" if hanging => "RUNNING",
            "RUNNING" if self.failure.is_some() => "FAILED",
            "RUNNING" => "SUCCEEDED",
            "CANCELLING" => "CANCELLED",
            other => other,
        };
        if next != self.state {
            self.state = next;
            self.updated = now;
        }
    }

    /// Returns its JSON form in the API.
    pub(crate) fn describe(&self) -> Value {
        let mut metadata = json!({
            "@type": "type.googleapis.com/google.earthengine.v1.OperationMetadata",
            "state": self.state,
            "description": self.description,
            "type": self.kind,
            "createTime": rfc3339(self.created),
            "updateTime": rfc3339(self.updated),
            "priority": self.priority,
        });
        if self.state != "PENDING" {
            metadata["attempt"] = json!(1);
            metadata["progress"] = json!(if self.state == "SUCCEEDED" { 1.0 } else { 0.5 });
        }
        if self.is_done() {
            metadata["endTime"] = json!(rfc3339(self.updated));
        }
        let mut operation = json!({"name": self.name});
        match self.state {
            "SUCCEEDED" => {
                metadata["batchEecuUsageSeconds"] = json!(1.5);
                if let Some((name, _)) = &self.makes {
                    metadata["destinationUris"] =
                        json!([format!("https://code.earthengine.google.com/?asset={name}")]);
                }
                operation["done"] = json!(true);
                operation["response"] =
                    json!({"@type": "type.googleapis.com/google.protobuf.Empty"});
            }
            "CANCELLED" => {
                operation["done"] = json!(true);
                operation["error"] = json!({"code": 1, "message": "Cancelled."});
            }
            "FAILED" => {
                operation["done"] = json!(true);
                operation["error"] = json!({"code": 3, "message": self.failure});
            }
            _ => {}
        }
        operation["metadata"] = metadata;
        operation
    }
}

pub(crate) fn rfc3339(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
