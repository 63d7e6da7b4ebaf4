//! Maps: images as tiles.

use http::Method;
use serde::Deserialize;
use url::Url;

use crate::api::download::Download;
use crate::api::images::{ImageRequest, ToMap};
use crate::request::path::Route;
use crate::{Client, Error, ErrorKind};

/// The deepest zoom that is of use: a pixel is less than a centimetre there.
const DEEPEST_ZOOM: u8 = 24;

/// A map of an image; made by [`Client::map`]. It lives for some hours.
#[derive(Debug, Clone)]
pub struct MapTiles {
    client: Client,
    name: String,
    root: Url,
}

/// What names a map or a thumbnail, and nothing else: the reply would repeat the request.
#[derive(Deserialize)]
pub(crate) struct Named {
    pub(crate) name: String,
}

impl ImageRequest<ToMap> {
    /// Makes the map.
    ///
    /// # Errors
    /// As [`Client::post_json`].
    pub async fn create(self) -> Result<MapTiles, Error> {
        let (client, name, root) = create(self, "maps").await?;
        Ok(MapTiles { client, name, root })
    }
}

/// Makes a name for an image, and checks that it is one.
pub(crate) async fn create<To>(
    request: ImageRequest<To>,
    collection: &str,
) -> Result<(Client, String, Url), Error> {
    if let Some(mistake) = request.mistake {
        return Err(mistake);
    }
    let reply = request
        .client
        .request(Method::POST, collection)
        .query("fields", "name")
        .json(&request.body)
        .send()
        .await?;
    let name = reply.json::<Named>()?.name;
    let Some(route) = route_of(&name, collection) else {
        return Err(Error::after(
            reply.attempts(),
            ErrorKind::InvalidResponse,
            format!("the answer to {} names no {collection}", reply.name),
        ));
    };
    // Where the requests of this client go, be it to the emulator.
    let root = route.url(&request.client.0.target)?;
    Ok((request.client, name, root))
}

/// Where a name leads, if it is one of this collection.
pub(crate) fn route_of(name: &str, collection: &str) -> Option<Route> {
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        ["projects", _, of, _] if *of == collection => Route::new(name.to_owned(), None).ok(),
        _ => None,
    }
}

impl MapTiles {
    /// `projects/P/maps/ID`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URL of a tile, with `{z}`, `{x}` and `{y}` in the place of zoom, column and row, as
    /// map libraries want it. Who asks for it must send a token or an API key: it holds
    /// neither.
    pub fn url_template(&self) -> String {
        format!("{}/tiles/{{z}}/{{x}}/{{y}}", self.root)
    }

    /// The URL of one tile. Columns go round the world, so that any number is one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for a zoom above 24, and a row that is not on the map.
    pub fn tile_url(&self, z: u8, x: i64, y: i64) -> Result<String, Error> {
        Ok(format!("{}/{}", self.root, tile(z, x, y)?))
    }

    /// One tile.
    ///
    /// # Errors
    /// As [`MapTiles::tile_url`].
    pub fn tile(&self, z: u8, x: i64, y: i64) -> Result<Download, Error> {
        let client = self.client.clone();
        let path = format!("{}/{}", self.name, tile(z, x, y)?);
        Ok(Download::new(move || client.request(Method::GET, &path)))
    }
}

fn tile(z: u8, x: i64, y: i64) -> Result<String, Error> {
    let refused = |why: String| Err(Error::new(ErrorKind::InvalidRequest, why));
    if z > DEEPEST_ZOOM {
        return refused(format!(
            "no map has the zoom {z}: the deepest is {DEEPEST_ZOOM}"
        ));
    }
    let width = 1_i64 << z;
    if !(0..width).contains(&y) {
        return refused(format!(
            "at zoom {z} no tile has the row {y}: there are {width}"
        ));
    }
    Ok(format!("tiles/{z}/{}/{y}", x.rem_euclid(width)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_go_round_the_world_and_rows_do_not() {
        assert_eq!(tile(0, 0, 0).unwrap(), "tiles/0/0/0");
        assert_eq!(tile(2, -1, 3).unwrap(), "tiles/2/3/3");
        assert_eq!(tile(2, 5, 0).unwrap(), "tiles/2/1/0");
        assert_eq!(tile(24, i64::MIN, 0).unwrap(), "tiles/24/0/0");
        for (z, y) in [(0, 1), (0, -1), (2, 4), (25, 0), (255, 0), (24, i64::MAX)] {
            assert_eq!(tile(z, 0, y).unwrap_err().kind(), ErrorKind::InvalidRequest);
        }
    }
}
