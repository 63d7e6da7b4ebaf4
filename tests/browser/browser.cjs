// A real browser, headless, that can reach this machine and nothing else.
"use strict";

const path = require("node:path");
const { chromium } = require("playwright-core");

const PATIENCE = 30_000;

// Runs `steps` with a browser; a step that fails ends the process with what it saw.
exports.run = async (steps) => {
  const browser = await chromium.launch({
    executablePath: process.env.EE_TESTS_CHROMIUM,
    args: [
      "--no-sandbox", // tests run as root, in containers
      "--disable-gpu",
      "--disable-dev-shm-usage", // which containers have little of
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  try {
    await steps(browser);
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
};

// A person: cookies of their own.
exports.person = async (browser) => {
  const context = await browser.newContext();
  context.setDefaultTimeout(PATIENCE);
  return context;
};

// A busy machine's browser fails to draw a page now and then; it is asked once more.
exports.screenshot = (page, name) => {
  const draw = () =>
    page.screenshot({ path: path.join(process.env.EE_TESTS_SCREENSHOTS, `${name}.png`) });
  return draw().catch(draw);
};
