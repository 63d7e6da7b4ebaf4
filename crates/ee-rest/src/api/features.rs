//! Lists of computed features and images, and of the features of a table.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::api::assets::asset;
use crate::api::expression::check_expression;
use crate::pages::list::{ComputedListRequest, ListRequest};
use crate::request::finite::to_value;
use crate::{Asset, Assets, Client, Error};

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
    /// cannot be serialized to a JSON object.
    pub fn compute_features<T: DeserializeOwned + Send + 'static>(
        &self,
        expression: &(impl Serialize + ?Sized),
    ) -> Result<ComputedListRequest<T>, Error> {
        self.computed("table:computeFeatures", "features", expression)
    }

    /// Computes an image collection, page by page, as a description of each image. The expression
    /// must evaluate to a collection.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client, collection: serde_json::Value) -> Result<(), ee_rest::Error> {
    /// let mut images = client.compute_images(&collection)?.page_size(500).items();
    /// while let Some(image) = images.next().await {
    ///     println!("{}", image?.id);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Client::compute_features`].
    pub fn compute_images(
        &self,
        expression: &(impl Serialize + ?Sized),
    ) -> Result<ComputedListRequest<Asset>, Error> {
        self.computed("imageCollection:computeImages", "images", expression)
    }

    fn computed<T: DeserializeOwned + Send + 'static>(
        &self,
        path: &str,
        key: &'static str,
        expression: &(impl Serialize + ?Sized),
    ) -> Result<ComputedListRequest<T>, Error> {
        let expression = to_value("the expression", expression)?;
        check_expression(Some(&expression))?;
        let body: Map<String, Value> = [("expression".to_owned(), expression)]
            .into_iter()
            .collect();
        let request = ListRequest::post(self, path, key, body);
        Ok(ComputedListRequest(request))
    }
}

impl Assets {
    /// Lists the features of a table as GeoJSON, with a filter on their properties and a region if
    /// they are set.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// use serde_json::{Value, json};
    ///
    /// let mut countries = client
    ///     .assets()
    ///     .list_features::<Value>("USDOS/LSIB_SIMPLE/2017")
    ///     .filter("wld_rgn = \"Europe\"")
    ///     .option("region", json!({"type": "Point", "coordinates": [8.5, 47.4]}))
    ///     .items();
    /// while let Some(country) = countries.next().await {
    ///     println!("{}", country?["properties"]);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn list_features<T: DeserializeOwned + Send + 'static>(&self, id: &str) -> ListRequest<T> {
        let path = asset(id).map(|name| format!("{name}:listFeatures"));
        ListRequest::get_checked(&self.0, path, "features")
    }
}
