//! Computed values.

use ee_token::Remedy;
use http::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::expression::not_an_expression;
use crate::request::finite::to_vec;
use crate::request::prepared::JSON;
use crate::{Client, Error};

impl Client {
    /// Computes the value of an expression (`{"result": …, "values": {…}}`).
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// use serde_json::json;
    ///
    /// let two: f64 = client
    ///     .compute(&json!({"result": "0", "values": {"0": {"constantValue": 2}}}))
    ///     .await?;
    /// # let _ = two; Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Client::get_json`].
    pub async fn compute<T: DeserializeOwned>(
        &self,
        expression: &(impl Serialize + ?Sized),
    ) -> Result<T, Error> {
        #[derive(Serialize)]
        struct ComputeRequest<'a, E: ?Sized> {
            expression: &'a E,
        }
        #[derive(Deserialize)]
        struct ComputeResponse<T> {
            result: Option<T>,
        }
        const START: &[u8] = b"{\"expression\":{";
        let body = to_vec("the expression", &ComputeRequest { expression })?;
        if !body.starts_with(START) {
            return Err(not_an_expression());
        }
        let response = self
            .request(Method::POST, "value:compute")
            .body(body, JSON)
            .send()
            .await?;
        match response.json::<ComputeResponse<T>>()?.result {
            Some(result) => Ok(result),
            // `T` may accept null.
            None => T::deserialize(Value::Null).map_err(|_| {
                Error::invalid_response(response.attempts(), "the computed value is null".into())
                    .with_remedy(Remedy::new(
                        "Use an `Option` type if the expression may be null.",
                    ))
            }),
        }
    }
}
