// What a TypeScript app asks of the hub; graphql-codegen reads it, and tsc holds the app to what the SDL says.
import type { Client } from '@urql/core';
import { graphql } from './gql/index.js';
import type { Money } from './types.js';

const Bought = graphql(`
  query Bought($order: ID!) {
    order(id: $order) {
      number
      status
      paidAt
      total { amountMinor currency scale }
      entitlement { isOpen }
    }
  }
`);

const Check = graphql(`
  query Check($input: VerifyEntitlementInput!, $course: ID!) {
    verifyEntitlement(input: $input, courseId: $course) { isEntitled reason }
  }
`);

const Buy = graphql(`
  mutation Buy($input: CheckoutInput!) {
    checkout(input: $input) {
      order { id }
      userErrors { message ... on PriceChangedError { current { amountMinor } } }
    }
  }
`);

export async function bought(client: Client, order: string): Promise<string> {
  const { data } = await client.query(Bought, { order }).toPromise();
  const found = data?.order;
  if (!found) return 'not yours';
  const paidAt: string | null | undefined = found.paidAt;
  const total: Pick<Money, 'amountMinor' | 'currency' | 'scale'> = found.total;
  // @ts-expect-error: an amount is a string, however large
  const amount: number = total.amountMinor;
  // @ts-expect-error: `title` was not asked for
  found.title;
  return `${found.number} ${found.status === 'PAID' ? paidAt : amount} ${found.entitlement?.isOpen ?? false}`;
}

export async function buy(client: Client, listingId: string, idempotencyKey: string): Promise<string[]> {
  const expectedAmount = { amountMinor: '4900', currency: 'USD' };
  // @ts-expect-error: no purchase without a key
  client.mutation(Buy, { input: { listingId, channel: 'sandbox', expectedAmount } });
  const input = { listingId, channel: 'sandbox', expectedAmount, idempotencyKey };
  const { data } = await client.mutation(Buy, { input }).toPromise();
  return (data?.checkout.userErrors ?? []).map((error) =>
    'current' in error ? `now ${error.current.amountMinor}` : error.message,
  );
}

export async function mayOpen(client: Client, externalId: string, course: string): Promise<boolean> {
  // @ts-expect-error: exactly one of the ways to name a right
  client.query(Check, { course, input: { member: { externalId }, proof: '' } });
  const { data } = await client.query(Check, { course, input: { member: { externalId } } }).toPromise();
  return data?.verifyEntitlement?.isEntitled ?? false;
}
