//! `eectl asset`: lists, shows, creates, copies, moves, changes and deletes assets.

pub(crate) mod acl;
pub(crate) mod copy;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;
mod missing;
pub(super) mod properties;
pub(crate) mod size;
mod tree;

use earthengine::AssetName;
use serde_json::json;

use super::session::{Session, asset_name};
use crate::cli::Global;
use crate::cli::asset::{Asset, AssetCommand, AssetId, Move};
use crate::error::CliError;
use crate::output::{print, print_json, print_object};

pub(crate) async fn run(global: &Global, asset: &Asset) -> Result<(), CliError> {
    match &asset.command {
        AssetCommand::List(arguments) => list::run(global, arguments).await,
        AssetCommand::Info(asset) => info(global, asset).await,
        AssetCommand::Create(arguments) => create::run(global, arguments).await,
        AssetCommand::Copy(arguments) => copy::run(global, arguments).await,
        AssetCommand::Move(arguments) => rename(global, arguments).await,
        AssetCommand::Delete(arguments) => delete::run(global, arguments).await,
        AssetCommand::Set(arguments) => properties::run(global, arguments).await,
        AssetCommand::SetBands(arguments) => properties::set_bands(global, arguments).await,
        AssetCommand::Acl(arguments) => acl::run(global, arguments).await,
        AssetCommand::Du(arguments) => size::run(global, arguments).await,
    }
}

async fn info(global: &Global, arguments: &AssetId) -> Result<(), CliError> {
    let name = asset_name(&arguments.asset)?;
    let session = Session::connect(global).await?;
    let asset = session.get("read", &name).await?;
    print_object(global, &json!(asset))
}

pub(crate) async fn rename(global: &Global, arguments: &Move) -> Result<(), CliError> {
    let (from, to) = (writable(&arguments.from)?, writable(&arguments.to)?);
    let session = Session::connect(global).await?;
    let moved = session.ee.assets().rename(from.as_str(), to.as_str()).await;
    let moved = match moved {
        Ok(asset) => asset,
        Err(error) => {
            let what = format!("move {from} to {to}");
            return Err(session
                .explain_missing_either(&what, &from, &to, error)
                .await);
        }
    };
    if global.json {
        return print_json(&json!(moved));
    }
    print(format!("moved {from} to {to}\n"))
}

/// Parses the name of an asset that is to be written.
fn writable(id: &str) -> Result<AssetName, CliError> {
    let name = asset_name(id)?;
    if name.is_root() {
        return Err(CliError::usage_with_remedy(
            &format!("{name} is the root of a project's assets, not an asset"),
            earthengine::Remedy::new("Add the asset's path, as in projects/PROJECT/assets/PATH."),
        ));
    }
    if name.project() == PUBLIC {
        return Err(CliError::usage_with_remedy(
            &format!("{id} is in the public catalog, which is read-only"),
            earthengine::Remedy::new(format!(
                "Use the full name of an asset of your own, such as projects/PROJECT/assets/{}.",
                name.path()
            )),
        ));
    }
    Ok(name)
}

/// The project of the public catalog.
const PUBLIC: &str = "earthengine-public";
