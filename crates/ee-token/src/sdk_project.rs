//! The projects of Google's SDKs, which can never be billed.

/// The numbers of the projects that own the OAuth clients of Google's SDKs and of Earth Engine.
/// Without a quota project, requests with tokens of these clients are billed to them, and Earth
/// Engine is never enabled there.
pub const SDK_PROJECTS: [&str; 7] = [
    "764086051850",
    "618104708054",
    "32555940559",
    "522309567947",
    "1014160490159",
    "1057398310658",
    "517222506229",
];

/// Returns whether this is the number of a Google SDK's project.
pub fn is_google_sdk_project(project: &str) -> bool {
    SDK_PROJECTS.contains(&project)
}
