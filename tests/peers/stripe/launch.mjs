// stripe-stateful-mock on a loopback port of its own choice, which it prints. Its own command listens on every interface.
import mock from "stripe-stateful-mock";

const server = mock.createExpressApp().listen(0, "127.0.0.1", () => console.log(server.address().port));
