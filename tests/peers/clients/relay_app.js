// What a Relay app asks of the hub; relay-compiler reads it, and finds the hub's conventions to be its own.
const { graphql } = require('relay-runtime');

exports.courses = graphql`
  query relayAppCoursesQuery($count: Int!) {
    ...relayApp_courses @arguments(count: $count)
  }
`;

exports.courseList = graphql`
  fragment relayApp_courses on Query
  @argumentDefinitions(count: { type: "Int", defaultValue: 2 }, cursor: { type: "String" })
  @refetchable(queryName: "relayAppCoursesPage") {
    courses(first: $count, after: $cursor, orderBy: { field: TITLE }) @connection(key: "relayApp_courses") {
      edges {
        node {
          id
          title
          ...relayApp_course
        }
      }
    }
  }
`;

// By its id alone, through `node`.
exports.course = graphql`
  fragment relayApp_course on Course @refetchable(queryName: "relayAppCourseAgain") {
    listings {
      id
      price {
        amountMinor
        currency
      }
    }
  }
`;

exports.orders = graphql`
  query relayAppOrdersQuery($count: Int!) {
    ...relayApp_orders @arguments(count: $count)
  }
`;

exports.orderList = graphql`
  fragment relayApp_orders on Query
  @argumentDefinitions(count: { type: "Int", defaultValue: 2 }, cursor: { type: "String" })
  @refetchable(queryName: "relayAppOrdersPage") {
    orders(first: $count, after: $cursor) @connection(key: "relayApp_orders") {
      edges {
        node {
          id
          number
          status
          chargeStatus
          total {
            amountMinor
          }
          deadlineAt
        }
      }
    }
  }
`;

exports.checkout = graphql`
  mutation relayAppCheckoutMutation($input: CheckoutInput!) {
    checkout(input: $input) {
      order {
        id
        status
      }
      userErrors {
        __typename
        message
        ... on PriceChangedError {
          current {
            amountMinor
          }
        }
      }
    }
  }
`;

exports.follow = graphql`
  subscription relayAppFollowSubscription($order: ID!, $after: String) {
    orderUpdated(orderId: $order, after: $after) {
      event {
        cursor
        kind
        payload {
          __typename
          ... on EntitlementGranted {
            externalId
          }
        }
      }
      order {
        id
        status
      }
    }
  }
`;
