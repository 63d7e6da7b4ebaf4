//! `table:computeFeatures`.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::Client;
use crate::pages::list::ListRequest;
use crate::request::finite::to_value;

impl Client {
    /// Computes a feature collection, page by page, as GeoJSON features in EPSG:4326. The
    /// expression must evaluate to a collection (`{"result": …, "values": {…}}`).
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client, collection: serde_json::Value) -> Result<(), ee_rest::Error> {
    /// let mut features = client
    ///     .compute_features::<serde_json::Value>(&collection)?
    ///     .page_size(500)
    ///     .items();
    /// while let Some(feature) = features.next().await {
    ///     println!("{}", feature?["properties"]);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Returns [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) if the expression
    /// cannot be serialized to JSON.
    pub fn compute_features<T: DeserializeOwned + Send + 'static>(
        &self,
        expression: &(impl Serialize + ?Sized),
    ) -> Result<ListRequest<T>, crate::Error> {
        let expression = to_value("the expression", expression)?;
        let body: Map<String, Value> = [("expression".to_owned(), expression)]
            .into_iter()
            .collect();
        Ok(ListRequest::post(
            self,
            "table:computeFeatures",
            "features",
            body,
        ))
    }
}
