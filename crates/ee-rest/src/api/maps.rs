//! Maps: images as tiles.

use http::Method;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::api::download::Download;
use crate::api::images::{CallBody, ImageFormat, image_options, other_options};
use crate::request::path::Route;
use crate::{Client, Error};

/// The maximum useful zoom level, at which a pixel is smaller than a centimeter.
const MAX_ZOOM: u8 = 24;

/// A request for a tiled map of an image, created by [`Client::map`].
#[must_use = "a map request does nothing until `create` is called"]
pub struct MapRequest {
    request: CallBody,
}

image_options!(MapRequest: format, bands, visualization, location);
other_options!(MapRequest);

impl Client {
    /// Creates a tiled map of an image.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client, image: serde_json::Value) -> Result<(), ee_rest::Error> {
    /// use serde_json::json;
    ///
    /// let map = client
    ///     .map(&image)
    ///     .visualization(json!({"ranges": [{"min": 0, "max": 3000}]}))
    ///     .create()
    ///     .await?;
    /// println!("{}", map.url_template());
    /// map.tile(0, 0, 0)?.save("world.png").await?;
    /// # Ok(()) }
    /// ```
    pub fn map(&self, expression: &(impl Serialize + ?Sized)) -> MapRequest {
        let format = ImageFormat::AutoJpegPng;
        MapRequest {
            request: CallBody::computed(self, expression, format.as_str()),
        }
    }
}

/// The tiles of a map, created by [`Client::map`] or [`Client::feature_view`]. They expire after a
/// few hours.
#[derive(Debug, Clone)]
pub struct MapTiles {
    pub(crate) client: Client,
    pub(crate) name: String,
    pub(crate) url: Url,
}

/// The name of a new map, thumbnail or table. Other fields are not requested, because they would repeat
/// the request.
#[derive(Deserialize)]
struct CreatedResource {
    name: String,
}

impl MapRequest {
    /// Creates the map.
    ///
    /// # Errors
    /// See [`Client::post_json`].
    pub async fn create(self) -> Result<MapTiles, Error> {
        let (client, name, url) = create(self.request, "maps", &["maps"]).await?;
        Ok(MapTiles { client, name, url })
    }
}

/// Creates a map, thumbnail or table, whose name belongs to one of the collections `named`. Returns
/// the client, its name and its URL.
pub(crate) async fn create(
    request: CallBody,
    collection: &str,
    named: &[&str],
) -> Result<(Client, String, Url), Error> {
    let path = request.path(collection);
    let (client, body) = request.into_parts()?;
    let response = client
        .request(Method::POST, path)
        .query("fields", "name")
        .json(&body)
        .send()
        .await?;
    let name = response.json::<CreatedResource>()?.name;
    let Some(route) = named.iter().find_map(|named| route_of(&name, named)) else {
        return Err(Error::invalid_response(
            response.attempts(),
            format!(
                "the response to {} contains no valid name under {collection}",
                response.name
            ),
        ));
    };
    // The target, so that the URL also works with the emulator.
    let url = route.url(&client.0.target)?;
    Ok((client, name, url))
}

/// Returns the path of a resource, if its name belongs to this collection of a project or of one of
/// its locations.
pub(crate) fn route_of(name: &str, collection: &str) -> Option<Route> {
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        ["projects", _, parent, _] | ["projects", _, "locations", _, parent, _]
            if *parent == collection =>
        {
            Route::new(name.to_owned(), None).ok()
        }
        _ => None,
    }
}

impl MapTiles {
    /// Returns the name: `projects/P/maps/ID` or `projects/P/featureViews/ID`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the URL template of the tiles, with the placeholders `{z}`, `{x}` and `{y}` for
    /// zoom, column and row, as map libraries expect it. It contains no credentials, so a request
    /// for a tile must be authenticated.
    pub fn url_template(&self) -> String {
        format!("{}/tiles/{{z}}/{{x}}/{{y}}", self.url)
    }

    /// Returns the URL of a tile. Columns wrap around the world, so any `x` is valid.
    ///
    /// # Errors
    /// Returns [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) for a zoom above 24 or a row outside of the map.
    pub fn tile_url(&self, z: u8, x: i64, y: i64) -> Result<String, Error> {
        Ok(format!("{}/{}", self.url, tile(z, x, y)?))
    }

    /// Returns the download of a tile.
    ///
    /// # Errors
    /// See [`MapTiles::tile_url`].
    pub fn tile(&self, z: u8, x: i64, y: i64) -> Result<Download, Error> {
        let client = self.client.clone();
        let path = format!("{}/{}", self.name, tile(z, x, y)?);
        Ok(Download::new(move || client.request(Method::GET, &path)))
    }
}

fn tile(z: u8, x: i64, y: i64) -> Result<String, Error> {
    if z > MAX_ZOOM {
        return Err(Error::invalid_request(
            format!("the zoom level {z} is out of range"),
            format!("Use a zoom level from 0 to {MAX_ZOOM}."),
        ));
    }
    let width = 1_i64 << z;
    if !(0..width).contains(&y) {
        return Err(Error::invalid_request(
            format!("the row {y} is out of range at zoom level {z}"),
            format!("Use a row from 0 to {}.", width - 1),
        ));
    }
    Ok(format!("tiles/{z}/{}/{y}", x.rem_euclid(width)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn columns_wrap_around_the_world_and_rows_do_not() {
        assert_eq!(tile(0, 0, 0).unwrap(), "tiles/0/0/0");
        assert_eq!(tile(2, -1, 3).unwrap(), "tiles/2/3/3");
        assert_eq!(tile(2, 5, 0).unwrap(), "tiles/2/1/0");
        assert_eq!(tile(24, i64::MIN, 0).unwrap(), "tiles/24/0/0");
        for (z, y) in [(0, 1), (0, -1), (2, 4), (25, 0), (255, 0), (24, i64::MAX)] {
            assert_eq!(tile(z, 0, y).unwrap_err().kind(), ErrorKind::InvalidRequest);
        }
    }
}
