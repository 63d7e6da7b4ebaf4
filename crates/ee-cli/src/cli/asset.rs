//! The arguments of `eectl asset`, which are named as in Google's `earthengine` command.

use clap::{Args, Subcommand};

use crate::table::ListOptions;

#[derive(Debug, Args)]
#[command(
    after_help = "`eectl ls`, `cp`, `mv` and `rm` are short for `asset list`, `copy`, `move` and `delete`.\n\nASSET is a name (projects/PROJECT/assets/PATH), a legacy ID (users/NAME/PATH) or a catalog ID (COPERNICUS/S2)."
)]
pub(crate) struct Asset {
    #[command(subcommand)]
    pub(crate) command: AssetCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AssetCommand {
    /// List the assets in folders and collections
    #[command(visible_alias = "ls")]
    List(List),
    /// Print the metadata of an asset as JSON
    Info(AssetId),
    /// Create folders and image collections
    Create(Create),
    /// Copy an asset
    #[command(visible_alias = "cp")]
    Copy(Copy),
    /// Move or rename an asset
    #[command(visible_alias = "mv")]
    Move(Move),
    /// Delete assets
    #[command(visible_alias = "rm")]
    Delete(Delete),
    /// Set or remove properties and times of an asset
    Set(Set),
    /// Rename the bands of an image
    #[command(name = "setbands")]
    SetBands(SetBands),
    /// Show and change who can use an asset
    Acl(Acl),
    /// Show the size of assets, including what they contain
    Du(Du),
}

#[derive(Debug, Args)]
pub(crate) struct AssetId {
    /// The asset's name or ID
    #[arg(value_name = "ASSET")]
    pub(crate) asset: String,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// The folders and collections to list; defaults to the project's assets
    #[arg(value_name = "ASSET")]
    pub(crate) assets: Vec<String>,

    /// Show the type, size and last change of each asset
    #[arg(short, long, alias = "long_format")]
    pub(crate) long: bool,

    /// List folders recursively; images of collections are not listed
    #[arg(short, long)]
    pub(crate) recursive: bool,

    /// List at most N assets of each folder or collection
    #[arg(short, long, value_name = "N", alias = "max_items")]
    pub(crate) max: Option<usize>,

    /// List only assets that match, as in 'properties.SCENE="A" AND startTime>"2024-01-01T00:00:00Z"'
    #[arg(short, long, value_name = "FILTER", conflicts_with = "recursive")]
    pub(crate) filter: Option<String>,

    #[command(flatten)]
    pub(crate) list: ListOptions,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    #[command(subcommand)]
    pub(crate) what: CreateCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CreateCommand {
    /// Create folders
    Folder(NewAssets),
    /// Create image collections
    Collection(NewAssets),
}

#[derive(Debug, Args)]
pub(crate) struct NewAssets {
    /// The names or IDs of the new assets
    #[arg(value_name = "ASSET", required = true)]
    pub(crate) assets: Vec<String>,

    /// Create missing parent folders
    #[arg(short, long)]
    pub(crate) parents: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Copy {
    /// The asset to copy
    #[arg(value_name = "SOURCE")]
    pub(crate) from: String,

    /// The name of the copy
    #[arg(value_name = "DESTINATION")]
    pub(crate) to: String,

    /// Replace existing assets
    #[arg(short = 'f', long, visible_alias = "force")]
    pub(crate) overwrite: bool,

    /// Copy a folder or a collection with everything in it
    #[arg(short, long)]
    pub(crate) recursive: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Move {
    /// The asset to move
    #[arg(value_name = "SOURCE")]
    pub(crate) from: String,

    /// Its new name
    #[arg(value_name = "DESTINATION")]
    pub(crate) to: String,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The assets to delete
    #[arg(value_name = "ASSET", required = true)]
    pub(crate) assets: Vec<String>,

    /// Delete folders and collections with everything in them
    #[arg(short, long)]
    pub(crate) recursive: bool,

    /// Print what would be deleted, and delete nothing
    #[arg(long, alias = "dry_run")]
    pub(crate) dry_run: bool,

    /// Delete recursively without a confirmation
    #[arg(short, long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The asset to change
    #[arg(value_name = "ASSET")]
    pub(crate) asset: String,

    /// Set a property, as a number if VALUE is one and as text otherwise; TYPE is number, string or
    /// date; the value null removes it (repeatable)
    #[arg(short, long, value_name = "[(TYPE)]NAME=VALUE")]
    pub(crate) property: Vec<String>,

    /// Set the start of the asset's time range: YYYY-MM-DD[THH:MM:SS[.FRACTION]] in UTC, or
    /// milliseconds since 1970; an empty value removes it
    #[arg(long, value_name = "TIME", alias = "time_start")]
    pub(crate) time_start: Option<String>,

    /// Set the end of the asset's time range
    #[arg(long, value_name = "TIME", alias = "time_end")]
    pub(crate) time_end: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SetBands {
    /// The image to change
    #[arg(value_name = "ASSET")]
    pub(crate) asset: String,

    /// The new names of all its bands, in their order; `asset info` shows the bands
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Acl {
    #[command(subcommand)]
    pub(crate) command: AclCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AclCommand {
    /// Print who can use an asset, as JSON
    Get(AssetId),
    /// Set who can use an asset; the owners stay
    Set(SetAcl),
    /// Grant or revoke access to an asset
    Ch(ChangeAcl),
}

#[derive(Debug, Args)]
pub(crate) struct SetAcl {
    /// `private`, `public` (all users can read it), or a file with the output of `acl get`
    #[arg(value_name = "ACL")]
    pub(crate) acl: String,

    /// The asset to change
    #[arg(value_name = "ASSET")]
    pub(crate) asset: String,
}

#[derive(Debug, Args)]
pub(crate) struct ChangeAcl {
    /// Grant a user access to read (R) or to read and write (W); allUsers:R makes it public
    /// (repeatable)
    #[arg(short, long, value_name = "EMAIL:R|W")]
    pub(crate) user: Vec<String>,

    /// Grant a group access (repeatable)
    #[arg(short, long, value_name = "EMAIL:R|W")]
    pub(crate) group: Vec<String>,

    /// Revoke the access of a user (repeatable)
    #[arg(short, long, value_name = "EMAIL")]
    pub(crate) delete_user: Vec<String>,

    /// Revoke the access of a group (repeatable)
    #[arg(long, value_name = "EMAIL", alias = "dg")]
    pub(crate) delete_group: Vec<String>,

    /// The asset to change
    #[arg(value_name = "ASSET")]
    pub(crate) asset: String,
}

#[derive(Debug, Args)]
pub(crate) struct Du {
    /// The assets to measure; defaults to the project's assets
    #[arg(value_name = "ASSET")]
    pub(crate) assets: Vec<String>,

    /// Show only the total of each ASSET, not of each asset in it
    #[arg(short, long)]
    pub(crate) summarize: bool,

    /// Show sizes in bytes
    #[arg(short, long)]
    pub(crate) bytes: bool,

    #[command(flatten)]
    pub(crate) list: ListOptions,
}
