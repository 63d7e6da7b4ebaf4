use earthengine::{EarthEngine, Endpoints};
use ee_emulator::{Emulator, Project};

use super::*;

/// A user's projects, as the library lists them.
async fn listed(projects: impl IntoIterator<Item = Project>) -> Vec<ListedProject> {
    let builder = projects
        .into_iter()
        .fold(Emulator::builder(), |builder, p| builder.project(p));
    let emulator = builder.start().await.unwrap();
    let jane = emulator.create_user("jane@example.com");
    EarthEngine::builder()
        .isolated()
        .endpoints(Endpoints::emulator(emulator.address()).unwrap())
        .credentials_json(jane.earthengine_file_json(None))
        .list_projects()
        .await
        .unwrap()
}

async fn three_projects() -> Vec<ListedProject> {
    listed([
        Project::new("forest-one").number(111_111_111_111),
        Project::new("forest-two").display_name("Trees \u{1b}[2J of Jane"),
        Project::new("river-x1").api_enabled(false),
    ])
    .await
}

/// Runs the picker with this input; returns the selection and what was shown.
fn pick_with(projects: &[ListedProject], input: &str) -> (Picked, String) {
    let mut shown = Vec::new();
    let picked = pick(
        &mut Prompt::new(input.as_bytes(), &mut shown),
        projects,
        Some("forest-two"),
    );
    (picked.unwrap(), String::from_utf8(shown).unwrap())
}

fn id(picked: &Picked) -> &str {
    match picked {
        Picked::Listed(project) => &project.id,
        Picked::Typed(id) => id,
        Picked::Nothing => "",
    }
}

#[tokio::test]
async fn number_id_or_part_of_name_selects_and_enter_cancels() {
    let projects = three_projects().await;
    for (input, expected) in [
        ("2\n", "forest-two"),
        (" 3 \r\n", "river-x1"),
        ("river-x1\n", "river-x1"),
        ("111111111111\n", "forest-one"),
        ("RIVER\n", "river-x1"),
        ("jane\n", "forest-two"),
        ("forest\n2\n", "forest-two"),
        ("forest\n3\nn\n1\n", "forest-one"),
        ("forest\n\n3\n", "river-x1"),
        ("0\n9\n\n", ""),
        ("no such thing!\n1\n", "forest-one"),
        ("\n", ""),
        ("", ""),
        ("forest\n", ""),
        ("some-other-project\ny\n", "some-other-project"),
        ("some-other-project\n\n\n", ""),
        ("\u{0}\u{fffd}\n1\n", "forest-one"),
    ] {
        assert_eq!(id(&pick_with(&projects, input).0), expected, "{input:?}");
    }
}

#[tokio::test]
async fn list_shows_status_and_current_project_without_escapes() {
    let (_, shown) = pick_with(&three_projects().await, "\n");
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(
        lines[0],
        "  1   forest-one                      ready, noncommercial"
    );
    assert_eq!(
        lines[1],
        "  2 * forest-two                      ready, noncommercial  Trees [2J of Jane  (current)"
    );
    assert!(lines[2].ends_with("Earth Engine API not enabled"));
    assert!(!shown.contains('\u{1b}'));
}

#[tokio::test]
async fn long_list_is_truncated_and_narrowed_by_typing() {
    let projects = listed((0..30).map(|i| Project::new(format!("forest-{i:02}")))).await;
    let (picked, shown) = pick_with(&projects, "est-2\n4\n");
    assert_eq!(id(&picked), "forest-23");
    assert!(shown.contains("… and 10 more"), "{shown}");
    assert!(!shown.contains("forest-29 ") || shown.contains(" 10   forest-29"));
}

#[tokio::test]
async fn number_beyond_the_screen_selects_nothing() {
    let projects = listed(('a'..='z').map(|c| Project::new(format!("forest-{c}")))).await;
    assert_eq!(id(&pick_with(&projects, "20\n").0), "forest-t");
    for number in ["21", "25", "26"] {
        let (picked, shown) = pick_with(&projects, &format!("{number}\n\n"));
        assert_eq!(picked, Picked::Nothing, "{shown}");
    }
}

#[test]
fn prompt_for_id_repeats_until_the_id_is_valid() {
    let mut shown = Vec::new();
    let input = "My Project\n764086051850\nmy-project\n";
    let picked = prompt_for_id(&mut Prompt::new(input.as_bytes(), &mut shown)).unwrap();
    assert_eq!(picked, Picked::Typed("my-project".into()));
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains("Did you mean my-project?"), "{shown}");
    assert!(shown.contains("Google SDK"), "{shown}");
    for input in ["", "\n", "My Project\n"] {
        let picked = prompt_for_id(&mut Prompt::new(input.as_bytes(), Vec::new())).unwrap();
        assert_eq!(picked, Picked::Nothing, "{input:?}");
    }
}
