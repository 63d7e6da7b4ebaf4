//! Tables for download, and feature views: tables as map tiles.

use http::Method;
use serde::Serialize;
use url::Url;

use crate::api::assets::asset;
use crate::api::download::Download;
use crate::api::images::{CallBody, image_options, other_options};
use crate::api::known::{TABLE_FORMATS, check_known};
use crate::api::maps::create;
use crate::{Client, Error, MapTiles};

/// A request for a file of a feature collection, created by [`Client::table`].
#[must_use = "a table request does nothing until `create` is called"]
pub struct TableRequest {
    request: CallBody,
}

/// A table to download, created by [`Client::table`]. It expires after a few hours.
#[derive(Debug, Clone)]
pub struct Table {
    client: Client,
    name: String,
    url: Url,
}

/// A request for the map tiles of a table, created by [`Client::feature_view`].
#[must_use = "a feature view request does nothing until `create` is called"]
pub struct FeatureViewRequest {
    request: CallBody,
}

image_options!(TableRequest: location);
other_options!(TableRequest);
other_options!(FeatureViewRequest);

impl Client {
    /// Creates a file of a feature collection.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client, collection: serde_json::Value) -> Result<(), ee_rest::Error> {
    /// let table = client
    ///     .table(&collection)
    ///     .format("GEO_JSON")
    ///     .selectors(&["name", "area"])
    ///     .create()
    ///     .await?;
    /// table.download().save("rivers.geojson").await?;
    /// # Ok(()) }
    /// ```
    pub fn table(&self, expression: &(impl Serialize + ?Sized)) -> TableRequest {
        TableRequest {
            request: CallBody::computed(self, expression, "CSV"),
        }
    }

    /// Creates the map tiles of a feature view asset.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// let tiles = client.feature_view("projects/my-project/assets/parks").create().await?;
    /// tiles.tile(0, 0, 0)?.save("world.mvt").await?;
    /// # Ok(()) }
    /// ```
    pub fn feature_view(&self, id: &str) -> FeatureViewRequest {
        let mut request = CallBody::new(self);
        match asset(id) {
            Ok(name) => request.set("asset", name.as_str()),
            Err(error) => request.record_error(error),
        }
        FeatureViewRequest { request }
    }
}

impl TableRequest {
    /// Sets the file format, by its API name: `CSV`, `GEO_JSON`, `KML`, `KMZ`, `SHP` or
    /// `TF_RECORD_TABLE`. Defaults to `CSV`.
    pub fn format(mut self, format: &str) -> Self {
        if let Err(error) = check_known("a format of tables", format, TABLE_FORMATS) {
            self.request.record_error(error);
        }
        self.option("fileFormat", format)
    }

    /// Selects the properties and their order. Defaults to all properties.
    pub fn selectors<S: AsRef<str>>(self, properties: &[S]) -> Self {
        let properties: Vec<&str> = properties.iter().map(AsRef::as_ref).collect();
        self.option("selectors", properties)
    }

    /// Sets the name that browsers give to the file, without the extension.
    pub fn filename(self, name: &str) -> Self {
        self.option("filename", name)
    }

    /// Creates the table.
    ///
    /// # Errors
    /// See [`Client::post_json`].
    pub async fn create(self) -> Result<Table, Error> {
        let (client, name, url) = create(self.request, "tables", &["tables"]).await?;
        Ok(Table { client, name, url })
    }
}

impl Table {
    /// Returns the name: `projects/P/tables/ID`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the URL. It contains no credentials, so a request for it must be authenticated.
    pub fn url(&self) -> String {
        format!("{}:getFeatures", self.url)
    }

    /// Returns the table's download.
    pub fn download(&self) -> Download {
        let client = self.client.clone();
        let path = format!("{}:getFeatures", self.name);
        Download::new(move || client.request(Method::GET, &path))
    }
}

impl FeatureViewRequest {
    /// Sets the visualization: an expression that evaluates to the style of the features.
    pub fn visualization(mut self, expression: &(impl Serialize + ?Sized)) -> Self {
        let request = &mut self.request;
        request.set_expression("visualizationExpression", expression);
        self
    }

    /// Creates the tiles with the method `featureView.create`, like Google's clients.
    ///
    /// # Errors
    /// See [`Client::post_json`].
    pub async fn create(self) -> Result<MapTiles, Error> {
        self.create_in("featureView").await
    }

    /// Creates the tiles with the method `featureViews.create`, which the API's reference has as
    /// well. It takes and returns the same as `featureView.create`.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// let view = client.feature_view("projects/my-project/assets/parks");
    /// let tiles = view.create_in_feature_views().await?;
    /// println!("{}", tiles.url_template());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Client::post_json`].
    pub async fn create_in_feature_views(self) -> Result<MapTiles, Error> {
        self.create_in("featureViews").await
    }

    async fn create_in(self, collection: &str) -> Result<MapTiles, Error> {
        let named = ["featureViews", "featureView"];
        let (client, name, url) = create(self.request, collection, &named).await?;
        Ok(MapTiles { client, name, url })
    }
}
