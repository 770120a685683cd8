// npm's alipay-sdk as an app at a provider of ours, and as a judge of what our adapter signs and takes.
import { AlipaySdk } from 'alipay-sdk';

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const given = JSON.parse(Buffer.concat(chunks).toString());

const sdk = (privateKey, alipayPublicKey) => new AlipaySdk({
  appId: given.app_id, privateKey, alipayPublicKey, gateway: given.gateway, keyType: 'PKCS8', camelcase: false,
});
const app = sdk(given.app_private_key, given.alipay_public_key);
const alipay = sdk(given.alipay_private_key, given.app_public_key); // who checks what apps sign
const call = (method, bizContent) => app.exec(method, { bizContent }, { validateSign: true });

const [unpaid, paid] = given.numbers;
const order = { out_trade_no: unpaid, total_amount: '12.50', subject: '课程', time_expire: '2099-01-01 00:00:00' };
const sale = [
  await call('alipay.trade.precreate', order),
  await call('alipay.trade.query', { out_trade_no: unpaid }),
  await call('alipay.trade.close', { out_trade_no: unpaid }),
];
const part = { out_trade_no: paid, out_request_no: `${paid}-R1`, refund_amount: '0.30' };
const refund = [
  await call('alipay.trade.refund', part),
  await call('alipay.trade.fastpay.refund.query', part),
];
const forged = [];
for (const _ of given.faults) {
  forged.push(await call('alipay.trade.query', { out_trade_no: paid }).then(() => 'taken', (error) => error.name));
}

process.stdout.write(JSON.stringify({
  sale,
  refund,
  forged,
  page: app.pageExecute('alipay.trade.page.pay', 'GET', {
    bizContent: { ...order, out_trade_no: given.page, product_code: 'FAST_INSTANT_TRADE_PAY' },
  }),
  is_right: given.signed.map((fields) => alipay.checkNotifySignV2(fields)),
  takes_notices: given.notices.map(([fields, sign]) => app.checkNotifySignV2({ ...fields, sign, sign_type: 'RSA2' })),
  takes_spoilt: given.notices.map(
    ([fields, sign]) => app.checkNotifySignV2({ ...fields, total_amount: '0.01', sign, sign_type: 'RSA2' }),
  ),
}));
