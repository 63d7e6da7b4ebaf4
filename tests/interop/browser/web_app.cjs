// Two concurrent users of the example web application: each signs in through the popup, sees their
// own projects, and computes.
"use strict";

const assert = require("node:assert/strict");
const { run, person, screenshot } = require("./browser.cjs");
const { hasMap, signIn } = require("./web_app_steps.cjs");

const [site, cookies] = process.argv.slice(2);

const projects = (page) => page.$$eval("#projects option", (options) => options.map((o) => o.value));

run(async (browser) => {
  const ada = await (await person(browser)).newPage();
  const bob = await (await person(browser)).newPage();
  await Promise.all([ada.goto(site), bob.goto(site)]);
  await ada.waitForSelector("#signed-out:not([hidden])");
  await screenshot(ada, "web-app-signed-out");

  // Both logins are in progress at the same time.
  await Promise.all([signIn(ada, "ada@example.com"), signIn(bob, "bob@example.com")]);
  assert.deepEqual(await projects(ada), ["ada-project", "shared-project"]);
  assert.deepEqual(await projects(bob), ["bob-project", "shared-project"]);

  for (const [page, project] of [[ada, "ada-project"], [bob, "bob-project"]]) {
    await page.selectOption("#projects", project);
    await page.click("#choose");
    await page.waitForSelector("#ready:not([hidden])");
    assert.equal(await page.textContent("#project"), project);
    await page.click("#compute");
    await page.waitForFunction(() => document.getElementById("value").textContent !== "");
    assert.equal(await page.textContent("#value"), "3,141,593");
    await hasMap(page);
    await screenshot(page, `web-app-${project}`);
  }

  // One signs out, and the other session stays.
  await ada.click("#sign-out");
  await ada.waitForSelector("#signed-out:not([hidden])");
  await bob.reload();
  await bob.waitForSelector("#ready:not([hidden])");
  assert.equal(await bob.textContent("#project"), "bob-project");

  // A user who denies consent sees a message, and stays signed out.
  const [popup] = await Promise.all([ada.waitForEvent("popup"), ada.click("#sign-in")]);
  await popup.click("a.deny");
  await ada.waitForFunction(() => document.getElementById("message").textContent !== "");
  await screenshot(ada, "web-app-denied");
  await ada.waitForSelector("#signed-out:not([hidden])");

  // A page of another site can neither act here nor read anything.
  const elsewhere = await (await person(browser)).newPage();
  const status = await elsewhere.request.post(`${site}/compute`, { data: {} }).then((r) => r.status());
  assert.equal(status, 403);
  // Neither the session's cookie nor its tiles are for other browsers.
  const tile = await elsewhere.request.get(`${site}/tiles/0/0/0`).then((r) => r.status());
  assert.equal(tile, 400);
  await bob.context().storageState({ path: cookies });
});
