//! `eectl api`: any request.

use std::io::Read;
use std::path::Path;

use earthengine::Method;

use crate::arguments::{Api, Global};
use crate::failure::{Failure, Stage};
use crate::output::print;

const METHODS: [Method; 5] = [
    Method::GET,
    Method::POST,
    Method::PATCH,
    Method::PUT,
    Method::DELETE,
];

pub(crate) async fn run(global: &Global, api: &Api) -> Result<(), Failure> {
    let (method, path) = method_and_path(api)?;
    let body = api.input.as_deref().map(read).transpose()?;
    // The call itself shows what is wrong with the project: no request is spent on that before.
    let ee = super::builder(global)
        .skip_verification()
        .connect()
        .await
        .map_err(|error| Failure::new(&error, Stage::Init))?;
    let mut request = ee.request(method, path);
    for (key, value) in &api.query {
        request = request.query(key, value);
    }
    if let Some(body) = body {
        request = request.body(body, "application/json");
    }
    let response = request
        .send()
        .await
        .map_err(|error| Failure::new(&ee.explain(error), Stage::Call))?;
    print(response.bytes())
}

fn method_and_path(api: &Api) -> Result<(Method, &str), Failure> {
    let (method, path) = match api.words.as_slice() {
        [path] => (None, path),
        [method, path] => (Some(method), path),
        _ => return Err(Failure::usage(&"a path is needed")),
    };
    let Some(method) = method else {
        let method = if api.input.is_some() {
            Method::POST
        } else {
            Method::GET
        };
        return Ok((method, path));
    };
    METHODS
        .into_iter()
        .find(|known| known.as_str().eq_ignore_ascii_case(method))
        .map(|method| (method, path.as_str()))
        .ok_or_else(|| {
            Failure::usage(&format!(
                "\"{method}\" is not one of GET, POST, PATCH, PUT and DELETE"
            ))
        })
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let read = if file == Path::new("-") {
        let mut body = Vec::new();
        std::io::stdin().lock().read_to_end(&mut body).map(|_| body)
    } else {
        std::fs::read(file)
    };
    read.map_err(|e| Failure::io(&format!("{} cannot be read", file.display()), &e))
}
