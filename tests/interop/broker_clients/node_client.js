// Runs google-auth-library with the credentials of a broker; prints one line of JSON.
//
//     node --require ../reference_clients/node_preload.js node_client.js
//
// NODE_PATH names the directory that contains google-auth-library.

'use strict';

const {GoogleAuth} = require('google-auth-library');

async function main() {
  const auth = new GoogleAuth({scopes: 'https://www.googleapis.com/auth/earthengine'});
  const client = await auth.getClient();
  const project = await auth.getProjectId();
  const {data} = await client.request({
    url: `https://earthengine.googleapis.com/v1/projects/${project}/value:compute`,
    method: 'POST',
    data: {expression: {result: '0', values: {0: {constantValue: 3}}}},
  });
  console.log(JSON.stringify({
    client: 'google-auth-library',
    kind: client.constructor.name,
    project,
    result: data.result,
  }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
