"use strict";

const element = (id) => document.getElementById(id);
const show = (id, yes) => { element(id).hidden = !yes; };

// Requests that change something carry a header that no other site's page can send.
async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST",
    headers: { "content-type": "application/json", "x-requested-with": "web_app" },
    body: JSON.stringify(body),
  };
  const reply = await fetch(path, options);
  const answer = await reply.json();
  if (!reply.ok) {
    throw new Error([answer.message, answer.remedy].filter(Boolean).join("\n"));
  }
  return answer;
}

async function act(action) {
  element("message").textContent = "";
  try {
    await action();
  } catch (error) {
    element("message").textContent = error.message;
  }
}

async function refresh() {
  const session = await ask("/session");
  show("signed-out", !session.signed_in);
  show("signed-in", session.signed_in);
  show("ready", Boolean(session.project));
  element("value").textContent = "";
  if (session.missing?.length) {
    element("message").textContent = `Not granted: ${session.missing.join(", ")}`;
  }
  if (session.project) {
    element("project").textContent = session.project;
    element("registration").textContent = session.registration;
  }
  if (session.signed_in) {
    const { projects } = await ask("/projects");
    element("projects").replaceChildren(...projects.map((project) => {
      const note = project.ready ? "" : ", not ready for Earth Engine";
      const option = new Option(`${project.name} (${project.id}${note})`, project.id);
      option.selected = project.id === session.project;
      return option;
    }));
  }
}

element("sign-in").onclick = () => {
  // Opened before anything is awaited: a popup must come of a click.
  if (!window.open("/login", "sign-in", "popup,width=520,height=640")) {
    element("message").textContent = "The browser blocked the sign-in window. Allow popups for this page.";
  }
};
element("sign-out").onclick = () => act(async () => { await ask("/logout", {}); await refresh(); });
element("choose").onclick = () => act(async () => {
  await ask("/project", { project: element("projects").value });
  await refresh();
});
element("compute").onclick = () => act(async () => {
  const { value } = await ask("/compute", {});
  element("value").textContent = value.toLocaleString("en", { maximumFractionDigits: 0 });
});

// The popup tells every page of this site in this browser when somebody has signed in. A reference to
// the opener would not survive Google's pages.
new BroadcastChannel("session").onmessage = (event) => {
  act(async () => {
    await refresh();
    if (event.data.error) {
      element("message").textContent = event.data.error;
    }
  });
};
act(refresh);
