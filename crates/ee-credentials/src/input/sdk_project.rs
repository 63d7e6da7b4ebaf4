//! Projects that can never be billed.

/// Numbers of projects that own the OAuth clients of Google's SDKs, and of Earth Engine's
/// own client: tokens made with those clients are billed to them when no project is
/// chosen, and they never have Earth Engine.
pub const SDK_PROJECTS: [&str; 7] = [
    "764086051850",
    "618104708054",
    "32555940559",
    "522309567947",
    "1014160490159",
    "1057398310658",
    "517222506229",
];

/// Whether this number belongs to a Google SDK.
pub fn is_google_sdk_project(project: &str) -> bool {
    SDK_PROJECTS.contains(&project)
}
