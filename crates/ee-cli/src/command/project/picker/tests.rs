use earthengine::{EarthEngine, Endpoints};
use ee_emulator::{Emulator, Project};

use super::*;

/// The projects of somebody, as the library lists them.
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

async fn three() -> Vec<ListedProject> {
    listed([
        Project::new("forest-one").number(111_111_111_111),
        Project::new("forest-two").display_name("Trees \u{1b}[2J of Jane"),
        Project::new("river-x1").api_enabled(false),
    ])
    .await
}

/// What is picked by typing this, and what was shown.
fn typed(projects: &[ListedProject], input: &str) -> (Picked, String) {
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
async fn numbers_ids_and_parts_of_names_pick_and_enter_leaves() {
    let projects = three().await;
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
        assert_eq!(id(&typed(&projects, input).0), expected, "{input:?}");
    }
}

#[tokio::test]
async fn the_list_shows_what_can_be_used_marks_the_current_one_and_steers_no_terminal() {
    let (_, shown) = typed(&three().await, "\n");
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
async fn a_long_list_is_cut_and_narrowed_by_typing() {
    let projects = listed((0..30).map(|i| Project::new(format!("forest-{i:02}")))).await;
    let (picked, shown) = typed(&projects, "est-2\n4\n");
    assert_eq!(id(&picked), "forest-23");
    assert!(shown.contains("… and 10 more"), "{shown}");
    assert!(!shown.contains("forest-29 ") || shown.contains(" 10   forest-29"));
}

#[tokio::test]
async fn a_number_that_is_not_on_the_screen_picks_nothing() {
    let projects = listed(('a'..='z').map(|c| Project::new(format!("forest-{c}")))).await;
    assert_eq!(id(&typed(&projects, "20\n").0), "forest-t");
    for number in ["21", "25", "26"] {
        let (picked, shown) = typed(&projects, &format!("{number}\n\n"));
        assert_eq!(picked, Picked::Nothing, "{shown}");
    }
}

#[test]
fn without_a_list_a_project_is_typed_until_it_can_be_one() {
    let mut shown = Vec::new();
    let input = "My Project\n764086051850\nmy-project\n";
    let picked = type_one(&mut Prompt::new(input.as_bytes(), &mut shown)).unwrap();
    assert_eq!(picked, Picked::Typed("my-project".into()));
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains("Did you mean my-project?"), "{shown}");
    assert!(shown.contains("Google SDK"), "{shown}");
    for left in ["", "\n", "My Project\n"] {
        let picked = type_one(&mut Prompt::new(left.as_bytes(), Vec::new())).unwrap();
        assert_eq!(picked, Picked::Nothing, "{left:?}");
    }
}
